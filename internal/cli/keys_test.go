package cli_test

import (
	"strings"
	"testing"
)

// TestKeys: what is no key of its kind is a wrong command line; a key of something that is not there is not found. The
// same for a stopped and for a running connector, and nothing is changed.
func TestKeys(t *testing.T) {
	t.Parallel()
	const malformed, missing = 78, 1
	places := map[string]string{"stopped": arrange(t, "stopped"), "running": arrange(t, "running")}
	before := holdings(t, places["stopped"])
	for line, want := range map[string]int{
		"spool run x": malformed, "spool run 99": missing,
		"spool show runs x": malformed, "spool show runs 99": missing,
		"spool show dead x": malformed, "spool show dead 99": missing, "spool show dead alerts/99": missing, "spool show dead nosuch/1": malformed,
		"spool show records 3": malformed, "spool show records 3/x": malformed, "spool show records 9/9": missing,
		"spool show waiting x": malformed, "spool show waiting 9/9": missing,
		"spool show waiting_by_id x": malformed, "spool show waiting_by_id 9/tool--1": missing,
		"spool show held x": malformed, "spool show held 99": missing, "spool show held tool--1": missing,
		"spool show bundles 3": malformed, "spool show bundles 9/9": missing,
		"spool show cursors x": malformed, "spool show cursors 9/9": missing,
		"spool show tasks x": malformed, "spool show tasks nosuch/1": malformed, "spool show tasks alerts/99": missing,
		"spool show kept 1/2": malformed, "spool show kept 1/2/3": missing,
		"spool show items x": malformed, "spool show items alerts/99": missing,
		"spool show gone x": malformed, "spool show gone 99": missing,
		"spool show ids tool--1": missing, "spool show meta x": missing, "spool show nosuch 1": malformed,
		"spool show bundles 2/2x --message 0": malformed, "spool show bundles 2 --message 0": malformed,
		"spool show bundles 2/2 --message -5": malformed, "spool show bundles 2/2 --message x": malformed, "spool show records 2/2 --message 0": malformed,
		"spool ls dead --after x": malformed, "spool ls records --after 3": malformed, "spool ls tasks --after x": malformed,
		"spool ls waiting_by_id --after x": malformed, "spool ls failing --after 1": malformed, "spool ls nosuch": malformed,
		"spool dead --after x": malformed, "spool runs --before x": malformed,
		"spool find tool--1": missing, "spool find alerts/99": missing,
		"spool retry x --yes": malformed, "spool retry 99 --yes": missing, "spool retry alerts/99 --yes": missing,
		"spool retry nosuch/1 --yes": malformed, "spool retry alerts/ --yes": malformed,
		"spool drop x --yes": malformed, "spool drop 99 --yes": missing, "spool drop alerts/99 --yes": missing,
		"spool drop nosuch/1 --yes": malformed, "spool drop tool--1 --yes": missing,
		"pause x --yes": malformed, "resume x --yes": malformed, "skip --dataset x --to P1D": malformed, "repull --from x": malformed,
	} {
		for state, dir := range places {
			got := call(t, dir, line, "", "")
			if got.code != want {
				t.Errorf("%s: %s ends with %d, want %d\n%s", state, line, got.code, want, got.err)
			}
			if (!strings.HasPrefix(got.err, "error: ") && got.out == "") || strings.Contains(got.err, "strconv") {
				t.Errorf("%s: %s says\n%s", state, line, got.err)
			}
		}
	}
	for state, dir := range places {
		if holdings(t, dir) != before {
			t.Errorf("%s: the spool changed", state)
		}
	}
}
