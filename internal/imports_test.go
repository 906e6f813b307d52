// Package internal_test holds the project's shape: which package may import which.
package internal_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// module is the path that our own imports begin with.
const module = "threatmatch-connector/"

// allowed says which packages of ours each package may import. A package
// without a row fails the test, so that a new one is placed on purpose.
var allowed = map[string][]string{
	"cmd/threatmatch-connector": {"internal/cli"},
	"cmd/threatmatch-sim":       {"internal/sim/..."},

	"internal/cli": {"internal/app", "internal/admin", "internal/web", "internal/inspect", "internal/logging", "internal/metrics", "internal/check", "internal/terminal", "internal/fault", "internal/version", "config", "spool"},
	"internal/app": {
		"internal/pipeline/...",
		"internal/admin", "internal/web", "internal/inspect", "internal/logging", "internal/metrics", "internal/clients", "internal/check", "internal/threatmatch", "internal/opencti", "internal/delivery",
		"internal/mapping", "internal/stix", "internal/fault", "internal/version", "config", "spool",
	},
	"internal/pipeline": {"spool", "internal/logging", "internal/fault"},
	"internal/pipeline/deliver": {
		"internal/pipeline", "internal/logging", "spool", "internal/delivery", "internal/opencti", "internal/stix", "internal/fault",
	},
	"internal/pipeline/platform": {"internal/pipeline", "internal/logging", "spool", "internal/opencti", "internal/moment", "internal/fault"},
	"internal/pipeline/verdicts": {"internal/pipeline", "internal/logging", "spool", "internal/opencti"},
	"internal/pipeline/fetch": {
		"internal/pipeline", "internal/pipeline/fetch/paging", "spool", "internal/threatmatch", "internal/logging", "internal/fault",
	},
	"internal/pipeline/fetch/paging": {"internal/threatmatch", "internal/moment"},
	"internal/pipeline/schedule":     {"internal/pipeline", "spool", "internal/fault"},
	"internal/pipeline/mapstage":     {"internal/pipeline", "spool", "internal/mapping", "internal/stix", "internal/fault"},

	"internal/admin":   {"internal/inspect", "spool", "internal/fault"},
	"internal/web":     {"internal/inspect", "spool"},
	"internal/inspect": {"spool", "internal/stix"},
	"internal/check": {
		"internal/clients", "internal/threatmatch", "internal/opencti", "internal/delivery", "internal/fault", "config", "spool",
	},
	"internal/clients": {"internal/threatmatch", "internal/opencti", "internal/delivery", "config"},
	"internal/metrics": {
		"internal/pipeline/...", "internal/inspect", "internal/threatmatch", "internal/delivery", "internal/mapping", "internal/fault", "spool",
	},

	"internal/threatmatch":    {"internal/fault"},
	"internal/opencti":        {"internal/fault"},
	"internal/delivery":       {"internal/fault"},
	"internal/mapping/markup": {},
	"internal/mapping":        {"internal/mapping/markup", "internal/facts", "internal/stix", "internal/fault"},
	"internal/facts":          {"internal/stix"},

	"spool": {"spool/internal/boltfile", "spool/internal/encoding"},

	"spool/internal/boltfile": {},
	"spool/internal/encoding": {},

	"config":            {},
	"internal/moment":   {},
	"internal/stix":     {},
	"internal/fault":    {},
	"internal/version":  {},
	"internal/logging":  {"internal/terminal", "internal/fault"},
	"internal/terminal": {},
}

// owners are the only packages that may import a third-party package, by prefix.
var owners = map[string][]string{
	"go.etcd.io/bbolt":                    {"spool/..."},
	"github.com/rabbitmq/amqp091-go":      {"internal/delivery", "internal/sim/...", "internal/brokertest"},
	"github.com/knadh/koanf":              {"config"},
	"github.com/prometheus/client_golang": {"internal/app", "internal/metrics", "internal/admin", "internal/pipeline/...", "internal/threatmatch", "internal/opencti", "internal/delivery"},
	"github.com/spf13/cobra":              {"internal/cli", "cmd/threatmatch-sim", "internal/sim/..."},
}

// forbidden standard packages in source that ships.
var forbidden = []string{"log", "math/rand"}

// testOnly packages serve tests and the stand-ins; nothing else imports them.
var testOnly = []string{"internal/sim/...", "internal/brokertest", "internal/e2e", "internal/bench", "internal/pipeline/pipelinetest"}

func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-f", "{{.ImportPath}} {{join .Imports \" \"}}", module+"...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		pkg := strings.TrimPrefix(f[0], module)
		for _, imp := range f[1:] {
			checkImport(t, pkg, imp)
		}
		if _, ok := allowed[pkg]; !ok && !match(testOnly, pkg) && pkg != "internal" {
			t.Errorf("%s has no row in the table of allowed imports", pkg)
		}
	}
}

func checkImport(t *testing.T, pkg, imp string) {
	t.Helper()
	if slices.Contains(forbidden, imp) {
		t.Errorf("%s imports %s", pkg, imp)
	}
	for prefix, who := range owners {
		if strings.HasPrefix(imp, prefix) && !match(who, pkg) {
			t.Errorf("%s imports %s, which belongs to %v", pkg, imp, who)
		}
	}
	ours, ok := strings.CutPrefix(imp, module)
	if !ok || match(testOnly, pkg) {
		return
	}
	if !match(allowed[pkg], ours) && ours != "internal/moment" { // every package may read times
		t.Errorf("%s must not import %s", pkg, ours)
	}
}

// match reports whether pkg is in the list; "x/..." stands for x and all below it.
func match(list []string, pkg string) bool {
	return slices.ContainsFunc(list, func(p string) bool {
		if dir, ok := strings.CutSuffix(p, "/..."); ok {
			return pkg == dir || strings.HasPrefix(pkg, dir+"/")
		}
		return p == pkg
	})
}
