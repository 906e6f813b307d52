// Command conformance imports sets of data with the real connector into a
// directory, without a platform, so that judge.py can hand what would be sent
// to OpenCTI's own client.
//
// Usage: conformance CONNECTOR OUT [FILE…]
//
//	conformance random OUT N SEED…
//
// Each FILE is a STIX bundle, served as it is as the answer to one item. Without
// a FILE generated data is imported. With random, N random objects a seed are written,
// and what the worker's stand-in says of them.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"threatmatch-connector/internal/sim/data"
	"threatmatch-connector/internal/sim/threatmatch"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: conformance CONNECTOR OUT [FILE…]")
		os.Exit(2)
	}
	if err := start(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func start(what, out string, rest []string) error {
	if what != "random" {
		return run(what, out, rest)
	}
	if len(rest) < 2 {
		return errors.New("random needs the number of objects and a seed")
	}
	n, err := strconv.Atoi(rest[0])
	if err != nil {
		return err
	}
	var seeds []uint64
	for _, text := range rest[1:] {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return err
		}
		seeds = append(seeds, seed)
	}
	return random(out, n, seeds)
}

// set is one import.
type set struct {
	name   string
	source data.Source
	env    []string // settings besides the defaults
}

func run(connector, out string, files []string) error {
	var sets []set
	for _, file := range files {
		source, err := data.LoadAnswer(file)
		if err != nil {
			return err
		}
		sets = append(sets, set{name: strings.TrimSuffix(filepath.Base(file), ".json"), source: source})
	}
	if len(files) == 0 {
		sets = generated()
	}
	errs := make([]error, len(sets))
	var imports sync.WaitGroup
	free := make(chan struct{}, 4*runtime.NumCPU())
	for i, s := range sets {
		free <- struct{}{}
		imports.Go(func() {
			if err := s.importInto(connector, out); err != nil {
				errs[i] = fmt.Errorf("import %s: %w", s.name, err)
			}
			<-free
		})
	}
	imports.Wait()
	return errors.Join(errs...)
}

// newest is when the newest generated item was made.
var newest = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// generated are two imports of the generator's items that differ in every
// setting of the mapper.
func generated() []set {
	make := func(seed uint64) data.Source {
		return data.NewGenerated(data.Options{Seed: seed, Start: newest, Profiles: 60, Alerts: 60, Reports: 30, IOCs: 400, Quirks: data.RealisticQuirks()})
	}
	return []set{
		{name: "generated", source: make(1)},
		{name: "generated-other-settings", source: make(2), env: []string{
			"THREATMATCH_IMPORT_LABELS=all", "THREATMATCH_DESCRIPTION_FORMAT=text", "THREATMATCH_CREATE_OBSERVABLES=true",
			"THREATMATCH_THREAT_ACTOR_AS_INTRUSION_SET=false", "THREATMATCH_TLP_LEVEL=red",
		}},
	}
}

// importInto runs the connector once; its bundles are then in out/name.
func (s set) importInto(connector, out string) error {
	server := threatmatch.New(threatmatch.Options{Source: s.source})
	if err := server.Start(); err != nil {
		return err
	}
	defer server.Close()
	spool, err := os.MkdirTemp("", "conformance")
	if err != nil {
		return err
	}
	defer os.RemoveAll(spool)
	id, secret := server.Credentials()
	cmd := exec.Command(connector, "run", "--once")
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"THREATMATCH_URL=" + server.URL(), "THREATMATCH_CLIENT_ID=" + id, "THREATMATCH_CLIENT_SECRET=" + secret,
		"THREATMATCH_IMPORT_FROM_DATE=" + s.source.Earliest().UTC().Format("2006-01-02"),
		"CONNECTOR_ID=9850490a-4273-429b-95f8-47dacda88fbf", "CONNECTOR_NAME=ThreatMatch", "CONNECTOR_SCOPE=threatmatch",
		"CONNECTOR_SEND_TO_QUEUE=false", "CONNECTOR_SEND_TO_DIRECTORY=true",
		"CONNECTOR_SEND_TO_DIRECTORY_PATH=" + filepath.Join(out, s.name),
		"SPOOL_DIR=" + spool, "THREATMATCH_REQUESTS_PER_SECOND=1000",
	}, s.env...)
	var log bytes.Buffer
	cmd.Stderr = &log
	err = cmd.Run()
	// 3: something became a dead letter, which dirty data may.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 3 {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, &log)
	}
	return nil
}
