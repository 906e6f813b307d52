package mapping

import (
	"fmt"
	"strings"
	"testing"
)

// TestManyFreeSectors: an object's own words become a limited number of entities,
// and the rest is counted.
func TestManyFreeSectors(t *testing.T) {
	const labels = 20_000
	for _, form := range []string{`"Sector: made up %d"`, `"Sector: first %d; second %[1]d"`} {
		list := make([]string, labels)
		for i := range list {
			list[i] = fmt.Sprintf(form, i)
		}
		body := `{"objects":[{"type":"malware","id":"malware--00000000-0000-4000-8000-000000000000","name":"xx","is_family":false,"labels":[` +
			strings.Join(list, ",") + `]}]}`
		m := newMapper(t, []byte("{}"))
		res := m.Map(Source{Dataset: "alerts", ID: "1"}, []byte(body))
		sectors := 0
		for _, o := range res.Objects {
			if o.Type() == "identity" && o.String("identity_class") == "class" {
				sectors++
			}
		}
		if sectors != freeMost {
			t.Errorf("made %d sectors of %d labels like %s, want %d", sectors, labels, form, freeMost)
		}
		unread := int64(0)
		for name, n := range res.Counts {
			if strings.HasPrefix(name, "labels_unread") {
				unread += n
			}
		}
		if all := int64(labels * (1 + strings.Count(form, ";"))); unread < all-freeMost {
			t.Errorf("counts %d as not read, want %d", unread, all-freeMost)
		}
	}
}
