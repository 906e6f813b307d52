package command

import (
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// newGet asks running stand-ins, where there is no curl.
func newGet() *cobra.Command {
	method := http.MethodGet
	c := &cobra.Command{
		Use:     "get URL",
		Short:   "Print what running stand-ins answer, where there is no curl",
		Example: "  threatmatch-sim get $SIM_URL/verdict\n  threatmatch-sim get --method POST $SIM_URL/heal",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			req, err := http.NewRequestWithContext(cmd.Context(), method, args[0], nil)
			if err != nil {
				return err
			}
			tr := &http.Transport{}
			defer tr.CloseIdleConnections()
			resp, err := (&http.Client{Transport: tr, Timeout: 10 * time.Second}).Do(req)
			if err != nil {
				return err
			}
			defer func() { _ = resp.Body.Close() }()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s %s: answered %s", method, args[0], resp.Status)
			}
			_, err = io.Copy(cmd.OutOrStdout(), resp.Body)
			return err
		},
	}
	c.Flags().StringVar(&method, "method", method, "GET, or POST to change something")
	return c
}
