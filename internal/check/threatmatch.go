package check

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"

	"threatmatch-connector/config"
	"threatmatch-connector/internal/clients"
	"threatmatch-connector/internal/fault"
	"threatmatch-connector/internal/threatmatch"
)

// clockTolerance is the largest difference between the clocks that passes.
const clockTolerance = time.Minute

// threatMatch checks address, account and what the account is offered, and compares the clocks.
func (c *checker) threatMatch(ctx context.Context) {
	cfg := c.Config
	rest := []string{"ThreatMatch token", "ThreatMatch lists", "clock"}
	skip := func(why string) {
		for _, name := range rest {
			c.unknown(name, why)
		}
	}
	if !c.reach(ctx, "ThreatMatch address", "threatmatch.url", cfg.ThreatMatch.URL, clients.Roots(cfg.ThreatMatchCAs()), false) {
		skip("not tried: ThreatMatch is not reached")
		return
	}
	opt := clients.ThreatMatchOptions(cfg, c.Version)
	opt.Now, opt.Rand, opt.HeaderTimeout, opt.BodyTimeout = c.Now, rand.Float64, 2*c.Timeout, 2*c.Timeout // the whole ends before
	client, err := threatmatch.New(opt)
	if err != nil {
		c.failed("ThreatMatch token", err, "")
		return
	}
	defer client.Close()
	groups, err := client.Groups(ctx)
	if e, ok := errors.AsType[*threatmatch.Error](err); ok && (e.Op == "token" || fault.Is(err, fault.Systemic)) {
		c.failed("ThreatMatch token", err, threatMatchHint(err))
		rest = rest[1:]
		skip("not tried: there is no token")
		return
	}
	if err != nil && ctx.Err() != nil {
		name := "ThreatMatch groups"
		if strings.HasPrefix(err.Error(), "token") {
			name = "ThreatMatch token"
		}
		c.failed(name, err, threatMatchHint(err))
		rest = rest[1:]
		skip("not tried: ThreatMatch does not answer in time")
		return
	}
	c.ok("ThreatMatch token", "given to the client %s", cfg.ThreatMatch.ClientID)
	c.taxii(groups, err)
	c.lists(ctx, client, c.iocs(ctx, client, groups))
}

// taxii checks that the configured groups of IOCs are offered.
func (c *checker) taxii(groups []threatmatch.Group, err error) {
	const name = "ThreatMatch groups"
	wanted := wantedGroups(c.Config)
	var names, missing []string
	for _, g := range groups {
		names = append(names, g.Name)
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(groups, func(g threatmatch.Group) bool { return g.Is(w) }) {
			missing = append(missing, w)
		}
	}
	only := len(c.Config.Choices.TAXIIGroups) > 0
	switch {
	case !c.Config.ThreatMatch.ImportIOCs:
	case err != nil && refusedFor(err, http.StatusNotFound):
		c.remark(name, "IOCs are not offered to this account; they are skipped", "set threatmatch.import_iocs to false, or ask ThreatMatch for access")
	case err != nil:
		c.failed(name, err, threatMatchHint(err))
	case len(groups) == 0:
		c.remark(name, "the account has no group of IOCs; they are skipped", "set threatmatch.import_iocs to false, or ask ThreatMatch for access")
	case only && len(missing) > 0:
		c.remark(name, fmt.Sprintf("no group %q; there are: %s", strings.Join(missing, ", "), strings.Join(names, ", ")),
			"set threatmatch.taxii_groups to some of them")
	case len(missing) > 0:
		c.remark(name, fmt.Sprintf("no group %q; all groups are used: %s", missing[0], strings.Join(names, ", ")), "set threatmatch.taxii_group to one of them")
	default:
		c.ok(name, "%q of %d", strings.Join(wanted, ", "), len(groups))
	}
}

// wantedGroups returns the groups of IOCs that the settings name.
func wantedGroups(c *config.Config) []string {
	if groups := c.Choices.TAXIIGroups; len(groups) > 0 {
		return groups
	}
	return []string{c.ThreatMatch.TAXIIGroup}
}

// iocs asks a group that would be used for what changed just now. It reports whether IOCs are offered.
func (c *checker) iocs(ctx context.Context, client *threatmatch.Client, groups []threatmatch.Group) bool {
	set := c.Config.ThreatMatch
	if !set.ImportIOCs || len(groups) == 0 || len(set.TAXIITypes) == 0 {
		return false
	}
	group := groups[0]
	for _, g := range groups {
		if slices.ContainsFunc(wantedGroups(c.Config), g.Is) {
			group = g
			break
		}
	}
	_, err := client.Page(ctx, group.ID, set.TAXIITypes[0], threatmatch.ModifiedAfter(c.Now()))
	if err != nil {
		c.failed("ThreatMatch IOCs", err, threatMatchHint(err))
	}
	return err == nil
}

// threatMatchHint says what to do about an answer that has no hint of its own.
func threatMatchHint(err error) string {
	e, ok := errors.AsType[*threatmatch.Error](err)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "no response in time: check threatmatch.url and the network in between, or raise --timeout"
	case !ok:
		return ""
	case e.Status == http.StatusForbidden, e.Status == http.StatusUnauthorized:
		return "the account may not read this: ask ThreatMatch for access, or switch the dataset off"
	case e.Status == http.StatusTooManyRequests:
		return "ThreatMatch asks to slow down: try again later; if it comes often, lower threatmatch.requests_per_second"
	case e.Status >= http.StatusInternalServerError:
		return "ThreatMatch has a problem: try again later; the connector does so by itself"
	}
	return ""
}

// lists asks each dataset for what changed just now, and compares the clocks. iocs says whether IOCs are offered,
// too.
func (c *checker) lists(ctx context.Context, client *threatmatch.Client, iocs bool) {
	const name = "ThreatMatch lists"
	var offered, missing []string
	var skew time.Duration
	known := false
	for _, d := range c.Config.ThreatMatch.Datasets() {
		if d == "iocs" {
			continue
		}
		list, err := client.List(ctx, d, c.Now())
		switch {
		case err != nil && refusedFor(err, http.StatusNotFound):
			missing = append(missing, d)
		case err != nil:
			c.failed(name, fault.Say(err, d+": "+fault.Words(err)), threatMatchHint(err))
			offered = append(offered, "") // reported already
		default:
			offered = append(offered, d)
			if !list.Date.IsZero() {
				skew, known = c.Now().Sub(list.Date), true
			}
		}
	}
	if iocs {
		offered = append(offered, "iocs")
	}
	switch failed := slices.Contains(offered, ""); {
	case failed:
	case len(missing) > 0 && (len(offered) == 0 || iocs && len(offered) == 1):
		c.failed(name, fmt.Errorf("not offered to this account: %s", strings.Join(missing, ", ")), "check threatmatch.url, or ask ThreatMatch for access")
	case len(missing) > 0:
		c.remark(name, fmt.Sprintf("offered: %s; not offered, and skipped: %s", strings.Join(offered, ", "), strings.Join(missing, ", ")), "")
	case len(offered) > 0:
		c.ok(name, "offered: %s", strings.Join(offered, ", "))
	}
	c.clock(skew, known)
}

func (c *checker) clock(skew time.Duration, known bool) {
	const name = "clock"
	switch {
	case !known:
		c.unknown(name, "ThreatMatch does not tell its time")
	case skew.Abs() > clockTolerance:
		way := "ahead of"
		if skew < 0 {
			way = "behind"
		}
		c.failed(name, fmt.Errorf("this machine's clock is %v %s ThreatMatch's", skew.Abs().Round(10*time.Second), way), "set the clock, preferably by NTP; until then each run ends at the earlier of the two")
	default:
		c.ok(name, "within a minute of ThreatMatch's")
	}
}

// refusedFor reports whether the answer had this status.
func refusedFor(err error, status int) bool {
	e, ok := errors.AsType[*threatmatch.Error](err)
	return ok && e.Status == status
}
