package mapping

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"threatmatch-connector/internal/moment"
	"threatmatch-connector/internal/stix"
)

// TestTimesInEveryForm: three profiles, three reports and three indicators with
// their times in one form arrive with the right times, in the form the platform
// accepts.
func TestTimesInEveryForm(t *testing.T) {
	at := time.Date(2026, 3, 1, 7, 8, 9, 123_000_000, time.UTC)
	whole := at.Truncate(time.Second)
	forms := []struct {
		name, raw string
		want      time.Time
	}{
		{"RFC 3339", `"2026-03-01T07:08:09.123Z"`, at},
		{"nine digits", `"2026-03-01T07:08:09.123000000Z"`, at},
		{"offset", `"2026-03-01T08:08:09.123+01:00"`, at},
		{"DATE_ISO8601", `"2026-03-01T07:08:09+0000"`, whole},
		{"hours of offset", `"2026-03-01T09:08:09+02"`, whole},
		{"blank", `"2026-03-01 07:08:09Z"`, whole},
		{"lower case", `"2026-03-01t07:08:09z"`, whole},
		{"no seconds", `"2026-03-01T07:08Z"`, whole.Truncate(time.Minute)},
		{"no zone", `"2026-03-01T07:08:09"`, whole},
		{"UTC", `"2026-03-01 07:08:09 UTC"`, whole},
		{"one digit of hours", `"2026-03-01T7:08:09.123Z"`, at},
		{"comma", `"2026-03-01T07:08:09,123Z"`, at},
		{"epoch", `1772348889`, whole},
		{"epoch as text", `"1772348889"`, whole},
		{"epoch milliseconds", `1772348889123`, at},
		{"epoch milliseconds as text", `"1772348889123"`, at},
		{"RFC 2822", `"Sun, 01 Mar 2026 07:08:09 +0000"`, whole},
		{"Carbon", `{"date":"2026-03-01 08:08:09.123000","timezone_type":3,"timezone":"Europe/Berlin"}`, at},
		{"day", `"2026-03-01"`, at.Truncate(24 * time.Hour)},
		{"month", `"2026-03"`, at.Truncate(24 * time.Hour)},
		{"year", `"2026"`, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)},
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			var list []string
			for i := range byte(3) {
				list = append(list,
					fmt.Sprintf(`{"type":"threat-actor","id":%q,"name":"Actor","created":%s,"modified":%[2]s}`, idOfType("threat-actor", i), form.raw),
					fmt.Sprintf(`{"type":"report","id":%q,"name":"Report","object_refs":[%q],"created":%s,"modified":%[3]s,"published":%[3]s}`,
						idOfType("report", i), idOfType("threat-actor", i), form.raw),
					fmt.Sprintf(`{"type":"indicator","id":%q,"name":"x.example","pattern_type":"stix","pattern":"[domain-name:value = 'x.example']","created":%s,"modified":%[2]s,"valid_from":%[2]s}`,
						idOfType("indicator", i), form.raw))
			}
			res := newMapper(t, []byte(`{}`)).Map(Source{}, []byte(`{"objects":[`+strings.Join(list, ",")+`]}`))
			if len(res.Objects) != 9 || len(res.Dead) != 0 || len(res.Unread) != 0 {
				t.Fatalf("got %d objects, dead %+v, unread %v; want 9", len(res.Objects), res.Dead, res.Unread)
			}
			for _, o := range res.Objects {
				for _, key := range []string{"created", "modified", "published", "valid_from"} {
					raw, ok := o.Get(key)
					if !ok {
						continue
					}
					text, _ := stix.Text(raw)
					if got, _ := moment.Parse(text); !got.Time.Equal(form.want) || !moment.Strict(text) {
						t.Errorf("%s: %s is %s, want %s in the form of RFC 3339", o.Type(), key, raw, form.want)
					}
				}
			}
		})
	}
}

// TestUnreadableTimesAreTold: the object is kept, and the value is reported.
func TestUnreadableTimesAreTold(t *testing.T) {
	actor, report := idOfType("threat-actor", 1), idOfType("report", 1)
	res := newMapper(t, []byte(`{}`)).Map(Source{}, []byte(`{"objects":[
		{"type":"threat-actor","id":"`+actor+`","name":"Actor","created":"2026-03-01T07:08:09Z","modified":"soon","first_seen":["x"]},
		{"type":"report","id":"`+report+`","name":"Report","object_refs":["`+actor+`"],"created":"2026-02-30","modified":"2026-02-30","published":"never"}]}`))
	if len(res.Objects) != 1 || res.Objects[0].String("modified") != "2026-03-01T07:08:09Z" {
		t.Errorf("got %+v, want the actor, modified when it was created", res.Objects)
	}
	if want := "no published date, and none to take for it; unreadable: created \"2026-02-30\", modified \"2026-02-30\", published \"never\""; len(res.Dead) != 1 || res.Dead[0].Reason != want {
		t.Errorf("got %+v, want the reason %s", res.Dead, want)
	}
	want := []string{actor + ` modified "soon"`, actor + ` first_seen ["x"]`}
	if len(res.Unread) < 2 || res.Unread[0] != want[0] || res.Unread[1] != want[1] {
		t.Errorf("got %q, want %q first", res.Unread, want)
	}
}
