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
		Args:  cobra.NoArgs,
	}
	c.AddCommand(
		newConfigPrint(g), newConfigCheck(g),
		writer("schema", "Print the settings as a JSON schema, as OpenCTI's catalogue takes it", "schema.json", config.WriteSchema),
		writer("sample", "Print a commented config.yml", "config.yml", config.WriteSample),
	)
	return c
}

func newConfigPrint(g *globals) *cobra.Command {
	var origin, changed bool
	c := &cobra.Command{
		Use:     "print",
		Short:   "Print every setting in force; secrets are hidden",
		Example: "  " + name + " config print --origin",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, report, err := g.load()
			if err != nil {
				return err
			}
			printWarnings(cmd.ErrOrStderr(), report)
			return config.WriteEffective(cmd.OutOrStdout(), cfg, report, g.json, origin, changed)
		},
	}
	c.Flags().BoolVar(&changed, "changed", false, "print only what was set, not what is left at its default")
	c.Flags().BoolVar(&origin, "origin", false, "also print where each value comes from")
	return c
}

func newConfigCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		Short:   "Check the settings without connecting anywhere",
		Example: "  " + name + " config check --config config.yml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, report, err := g.load()
			if g.json {
				if perr := printJSON(cmd.OutOrStdout(), checkResult(report, err)); perr != nil {
					return perr
				}
				if err != nil {
					return quietError{errUsage{err}}
				}
				return nil
			}
			printWarnings(cmd.ErrOrStderr(), report)
			if err != nil {
				return err
			}
			_, err = sayLine(cmd.OutOrStdout(), "the settings are fine")
			return err
		},
	}
}

type configCheck struct {
	OK       bool             `json:"ok"`
	File     string           `json:"file,omitempty"` // the settings file that was read
	Warnings []config.Warning `json:"warnings"`
	Problems []config.Problem `json:"problems"`
}

func checkResult(report config.Report, err error) configCheck {
	return configCheck{
		OK: err == nil, File: report.File,
		Warnings: append([]config.Warning{}, report.Warnings...),
		Problems: append([]config.Problem{}, config.ProblemsOf(err)...),
	}
}

func printWarnings(w io.Writer, report config.Report) {
	for _, warning := range report.Warnings {
		sayLine(w, "warning:", warning)
	}
}

// writer is a command that prints text that does not depend on the settings.
func writer(use, short, file string, write func(io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Args: cobra.NoArgs, Example: "  " + name + " config " + use + " > " + file,
		RunE: func(cmd *cobra.Command, _ []string) error { return write(cmd.OutOrStdout()) },
	}
}
