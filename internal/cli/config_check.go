package cli

import (
	"github.com/spf13/cobra"

	"threatmatch-connector/config"
)

func newConfigCheck(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:     "check",
		Short:   "Check the settings without connecting anywhere",
		Example: "  " + name + " config check --config config.yml",
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, report, err := g.load()
			if g.json {
				if perr := printJSON(cmd.OutOrStdout(), checkResult(report, err)); perr != nil {
					return perr
				}
				return quiet(err)
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
