package forms

import (
	"net/url"
	"slices"
	"testing"
)

func TestMissed(t *testing.T) {
	own := func(s string) bool { return s == "2026-03-01 12:00:00" }
	page := slices.IndexFunc(forms, func(f Form) bool { return f.Op == "page" })
	list := slices.IndexFunc(forms, func(f Form) bool { return f.Op == "list" })
	for _, row := range []struct {
		form  int
		query string
		want  string
	}{
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.123Z", ""},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01+12:00:00", ""},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01+12:00:01", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00Z", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.123456Z", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.098871147Z", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00,123Z", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.123%2B00:00", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=0000-12-31T23:50:00.000Z", "modifiedAfter"},
		{page, "groupId=1&stixTypeName=indicator", "modifiedAfter"},
		{page, "groupId=1&groupId=2&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.123Z", "groupId"},
		{page, "groupId=1&stixTypeName=Indicator&modifiedAfter=2026-03-01T12:00:00.123Z", "stixTypeName"},
		{page, "groupId=1&stixTypeName=indicator&modifiedAfter=2026-03-01T12:00:00.123Z&limit=5", "limit"},
		{list, "mode=compact&date_since=2026-03-01+12:00", ""},
		{list, "mode=extended&date_since=2026-03-01+12:00", "mode"},
		{list, "mode=compact&date_since=2026-03-01+12:00:00", "date_since"},
		{list, "mode=compact&date_since=2026-03-01T12:00", "date_since"},
		{list, "mode=compact", "date_since"},
	} {
		q, err := url.ParseQuery(row.query)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := forms[row.form].Missed(q, own); got != row.want {
			t.Errorf("%s: got %q, want %q", row.query, got, row.want)
		}
	}
}
