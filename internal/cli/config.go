package cli

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"threatmatch-connector/config"
)

// load reads the settings. Problems with them are usage errors.
func (g *globals) load() (*config.Config, config.Report, error) {
	cfg, report, err := config.Load(g.configOptions())
	if err != nil {
		return nil, report, errUsage{fmt.Errorf("settings:\n%w", err)}
	}
	return cfg, report, nil
}

func (g *globals) configOptions() config.Options {
	return config.Options{Path: g.config, Environ: g.env.Environ, Now: g.env.Now()}
}

func newConfig(g *globals) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Print, check and explain the settings",
	}
	c.AddCommand(
		newConfigPrint(g), newConfigCheck(g),
		writer("schema", "Print the settings as a JSON schema, as OpenCTI's catalogue takes it", "schema.json", config.WriteSchema),
		writer("sample", "Print a commented config.yml", "config.yml", config.WriteSample),
	)
	return c
}

func printWarnings(w io.Writer, report config.Report) {
	for _, warning := range report.Warnings {
		sayLine(w, "warning:", warning)
	}
}

// writer is a command that prints text that does not depend on the settings.
func writer(use, short, file string, write func(io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Example: "  " + name + " config " + use + " > " + file,
		RunE: func(cmd *cobra.Command, _ []string) error { return write(cmd.OutOrStdout()) },
	}
}
