package cli

import (
	"bytes"
	"testing"
)

// TestListOfFailing: each request is listed with its tries, since when it fails,
// and when it is retried.
func TestListOfFailing(t *testing.T) {
	s := importingStatus()
	troubled(&s)
	var out bytes.Buffer
	if err := printFailing(&out, s.Failing, s.Now); err != nil {
		t.Fatal(err)
	}
	const want = "REQUEST     TRIES  FOR  NEXT    WHY\n" +
		"profiles/9  1      7s   in 20s  answered 500 internal server error\n" +
		"profiles/7  9      1m   in 20s  answered 500 internal server error\n"
	if got := out.String(); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
