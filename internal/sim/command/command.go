// Package command is the command line of threatmatch-sim.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"threatmatch-connector/internal/sim"
)

const long = `threatmatch-sim serves stand-ins for what the connector talks to: the ThreatMatch
API, with generated items or STIX files, and the part of an OpenCTI platform
that a connector meets, in front of a real RabbitMQ. A worker consumes what is
published and checks it as strictly as the platform.

When everything is up it prints the environment for the connector as NAME=value
lines. It ends on SIGINT or SIGTERM and then prints a verdict to stderr.

While it runs, http://ADMIN/sim/ lists what can be watched and disturbed:
counts, faults, the clock, new items, resets, parts going down and up.`

const example = `  # A broker, the stand-ins, one import
  export AMQP_URL=$(deploy/rabbitmq.sh start)
  threatmatch-sim --env-file sim.env &
  set -a; . ./sim.env; set +a; threatmatch-connector run --once
  curl -s $SIM_URL/verdict

  # Every tenth item fails, one never heals, the token lives a minute
  threatmatch-sim --fault threatmatch:route=item,do=500,rate=0.1 \
      --fault threatmatch:route=item,id=profiles/7,do=404 --token-lifetime 1m

  # Watch and disturb it while it runs (all of it: curl $SIM_URL/)
  curl -X POST "$SIM_URL/fault?part=threatmatch" --data-urlencode 'rule=route=item,do=503'
  curl -X POST $SIM_URL/heal
  curl -X POST "$SIM_URL/clock?advance=24h"
  curl -X POST "$SIM_URL/publish?dataset=alerts&n=5"
  curl -X POST "$SIM_URL/down?part=opencti"
  curl -X POST $SIM_URL/reset-state

  # What check says of a token that may not register a connector
  threatmatch-sim --env-file sim.env --capabilities KNOWLEDGE,MODULES_MODMANAGE &
  set -a; . ./sim.env; set +a; threatmatch-connector check

  # Own content
  threatmatch-sim --stix-dir ./bundles`

// New is the root command. It serves until its context ends.
func New(stdout, stderr io.Writer) *cobra.Command {
	f := &flags{}
	cmd := &cobra.Command{
		Use:           "threatmatch-sim",
		Short:         "Stand-ins for ThreatMatch and OpenCTI, for trying out and testing",
		Long:          long,
		Example:       example,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return run(cmd.Context(), f, stdout, stderr)
		},
	}
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	f.register(cmd.Flags())
	cmd.AddCommand(newGet())
	return cmd
}

func run(ctx context.Context, f *flags, stdout, stderr io.Writer) error {
	level := slog.LevelWarn
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return err
	}
	options, err := f.options()
	if err != nil {
		return err
	}
	options.Log = slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level}))
	s, err := sim.New(options)
	if err != nil {
		return err
	}
	if err := s.Start(); err != nil {
		return err
	}
	defer s.Close()
	if f.envFile != "" {
		if err := writeEnvFile(f.envFile, s); err != nil {
			return err
		}
	}
	if err := s.WriteEnv(stdout); err != nil {
		return err
	}
	<-ctx.Done()
	return farewell(s, stderr)
}

// writeEnvFile replaces the file at once: a script may be waiting for it.
func writeEnvFile(path string, s *sim.Sim) error {
	tmp, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the environment: %w", err)
	}
	if err := errors.Join(s.WriteEnv(tmp), tmp.Close()); err != nil {
		return fmt.Errorf("write the environment: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

// farewell says how it went.
func farewell(s *sim.Sim, w io.Writer) error {
	c := s.Stats()
	_, err := fmt.Fprintf(w, "requests: %d to ThreatMatch, mutations: %v; objects: %d of %d distinct ids; refused: %d; violations: %d\n",
		c.ThreatMatch.Total(""), c.OpenCTI.Mutations, c.Worker.Objects, c.Worker.Distinct, c.Worker.Refused, c.Worker.Violations)
	for _, v := range c.Violations[:min(len(c.Violations), 10)] {
		text, _ := json.Marshal(v) // strings only
		_, err = fmt.Fprintf(w, "violation: %s\n", text)
	}
	return err
}
