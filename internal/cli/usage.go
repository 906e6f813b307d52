package cli

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/fault"
)

// misused marks a wrong command line and suggests what may have been meant.
func misused(c *cobra.Command, err error) error {
	if num, ok := errors.AsType[*strconv.NumError](err); ok { // of a flag
		why := "want a number"
		if errors.Is(num, strconv.ErrRange) {
			why = "the number is out of range"
		}
		err = errors.New(strings.Replace(err.Error(), num.Error(), why, 1))
	}
	words := c.Flags().Args()
	switch {
	case c.HasSubCommands() && len(words) > 0:
		if near := similar(c.Root(), words[0]); len(near) > 0 {
			err = fault.Hint(err, "did you mean "+strings.Join(near, " or ")+"?")
		}
	case !c.HasSubCommands() && c.ValidateArgs(words) != nil:
		usage := strings.TrimSuffix(c.UseLine(), " [flags]")
		if usage == c.CommandPath() && len(words) > 0 { // cobra takes the word for a command
			err = fmt.Errorf("%q takes no argument, and %q is one", usage, words[0])
			if one := map[string]string{"dead": "spool show dead ", "runs": "spool run "}[c.Name()]; one != "" {
				err = fault.Hint(err, "one of them is shown by "+name+" "+one+words[0])
			}
			break
		}
		first, _, _ := strings.Cut(strings.TrimSpace(c.Example), "\n")
		err = fault.Hint(err, fmt.Sprintf("it is used as %q, such as %q", usage, first))
	}
	return errUsage{err}
}

// similar returns the commands with a name like word, at any level.
func similar(c *cobra.Command, word string) []string {
	c.SuggestionsMinimumDistance = 2
	var all []string
	for _, s := range c.SuggestionsFor(word) {
		all = append(all, fmt.Sprintf("%q", c.CommandPath()+" "+s))
	}
	for _, sub := range c.Commands() {
		if sub.Name() != "completion" {
			all = append(all, similar(sub, word)...)
		}
	}
	return all
}
