package config

import (
	"cmp"
	"os"
	"strings"

	"github.com/knadh/koanf/providers/env/v2"
)

// variables returns the environment as a map; of equal names the last one counts.
func variables(environ []string) (map[string]string, error) {
	read, err := env.Provider("", env.Opt{EnvironFunc: func() []string { return environ }}).Read()
	if err != nil {
		return nil, err
	}
	vars := make(map[string]string, len(read))
	for name, value := range read {
		vars[name], _ = value.(string)
	}
	return vars, nil
}

// upperFirst orders names so that the usual spelling in capitals comes before others of the same name.
func upperFirst(a, b string) int {
	return cmp.Or(cmp.Compare(strings.ToUpper(a), strings.ToUpper(b)), cmp.Compare(a, b))
}

// readNames returns the names of the files in a directory, sorted.
func readNames(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fileRefusal(err)
	}
	var list []string
	for _, e := range entries {
		if !e.IsDir() && !strings.HasPrefix(e.Name(), ".") {
			list = append(list, e.Name())
		}
	}
	return list, nil
}
