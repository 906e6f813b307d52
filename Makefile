# Run `make` for the list of targets.
SHELL := /bin/bash
GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT ?= $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)
DATE ?= $(shell git log -1 --format=%cI 2>/dev/null || echo unknown)
PKG := threatmatch-connector/internal/version
LDFLAGS := -s -w -X $(PKG).version=$(VERSION) -X $(PKG).commit=$(COMMIT) -X $(PKG).date=$(DATE)
TEST_FLAGS ?=

.DEFAULT_GOAL := help
.PHONY: soak hostile help build test check conformance rule-counts beside demo kill crash fuzz million inspect page-shots bench bench-mem fmt docker docker-test docker-ci lint-deploy notices release vuln gosec clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/threatmatch-connector and bin/threatmatch-sim, static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

# The race detector makes a test take six times as long, and only finds something where there
# are goroutines. SEQUENTIAL has none outside its tests; E2E runs what its commands ask of a
# daemon. SWEPT runs completely without it, and with it on one case of a sweep in five (-short)
# and not on LONG, loads that take the ways of shorter tests again and again. E2E has it in the
# program of some tests, in which the most happens at once, and not in the stand-ins around it.
# It mostly waits, so it starts first, beside the others, and more of its tests run at once than
# there are processors.
E2E = ./internal/e2e
SEQUENTIAL = ./config ./internal/cli ./internal/facts ./internal/mapping/... ./internal/moment ./internal/stix ./spool/...
SWEPT = ./internal/pipeline/...
LONG = TestHostile|TestRepull|TestRetryOf|TestSecondWriter|TestLong|TestManyWaiting|TestManyCycles|TestTies|TestStuckDataset|TestOneItemIsAlwaysPutOff|TestItemsAreNotBlamed
GO_TEST = $(GO) test -p 3 -parallel 6 -timeout 40m $(TEST_FLAGS)

test: ## run every test with a real RabbitMQ and a real Chromium, what is concurrent also with the race detector
	deploy/rabbitmq.sh install
	deploy/browser.sh install
	E2E_RACE=1 $(GO_TEST) $(E2E) ./spool $(SWEPT) $(SEQUENTIAL)
	$(GO_TEST) -race -short -skip '$(LONG)' $$($(GO) list ./... | grep -vxF "$$($(GO) list $(E2E) $(SEQUENTIAL))")
	$(GO_TEST) -race -run 'TestModel$$|Snapshot' ./spool

check: ## formatting, vet, staticcheck, import arrows, generated files, licences
	@out=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not gofmt-ed:"; echo "$$out"; exit 1; fi
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test -count=1 ./internal ./config
	deploy/notices.sh --check

conformance: ## validate an import's messages with OpenCTI's own client and schema, from PyPI (DATA=bundles, MESSAGES=dir)
	internal/sim/conformance/run.sh

rule-counts: ## what every rule of the mapping does to 2,000 generated items, and to the bundles in DATA
	RULE_COUNTS=$(abspath $(or $(DATA),../shared/data/stix)) $(GO) test -count=1 -run TestRuleCounts -v ./internal/mapping

beside: ## import the same data with the Python connector and with ours, and compare the results (CONNECTORS=checkout)
	internal/sim/conformance/beside.sh

demo: ## see it work: broker, stand-ins, an import that is killed and resumed (DATA=dir, KEEP=1)
	deploy/demo.sh

kill: ## kill -9 the whole product KILLS times in one import (default 20), print a summary
	deploy/rabbitmq.sh install
	KILLS=$(or $(KILLS),20) $(GO) test -count=1 -timeout 60m -run TestKilledAgainAndAgain -v ./internal/e2e

crash: ## kill -9 a working spool ROUNDS times (default 50), account for every item
	SPOOL_CRASH_ROUNDS=$(or $(ROUNDS),50) $(GO) test -count=1 -timeout 60m -run Crash -v ./spool

soak: ## all loops under a seeded mix of all faults, and a repull of 20,000 items, for SOAK on the test's clock (default 12h)
	SOAK=$(or $(SOAK),12h) $(GO) test -count=1 -timeout 60m -run 'TestSoak|TestRepullBesideWhatIsNew' -v ./internal/pipeline/pipelinetest

hostile: ## all loops on a ThreatMatch whose answers are mutated at random, for HOSTILE on the test's clock (default 24h)
	HOSTILE=$(or $(HOSTILE),24h) $(GO) test -count=1 -timeout 120m -run TestHostile -v ./internal/pipeline/pipelinetest

fuzz: ## fuzz every decoder of PKGS (default all) for FUZZTIME each (default 20s)
	FUZZTIME=$(or $(FUZZTIME),20s) deploy/fuzz.sh $(PKGS)

inspect: ## what status --watch and spool export cost a concurrent import, in pairs of runs (ROUNDS=5, OBJECTS=100000)
	deploy/rabbitmq.sh install
	INSPECT_OBJECTS=$(or $(OBJECTS),100000) INSPECT_ROUNDS=$(or $(ROUNDS),5) $(GO) test -count=1 -timeout 60m -run TestInspectedImport -v ./internal/e2e

page-shots: ## what the page looks like in each state, width and colour, as files in dist/page
	deploy/browser.sh install
	mkdir -p dist/page
	PAGE_SHOTS=$(CURDIR)/dist/page $(GO) test -count=1 -run TestPageShots ./internal/web

million: ## 10,000 to 1,000,000 objects through the spool: time and memory per object
	SPOOL_OBJECTS=10000,100000,1000000 $(GO) test -count=1 -timeout 60m -run TestManyObjects -v ./spool

bench: ## speed of each stage and of the whole pipeline next to a bare publisher, as a table (ROUNDS=3, SCALE=1)
	deploy/rabbitmq.sh install
	$(GO) test -timeout 120m -run '^$$' -bench Speed -benchtime 1x ./internal/bench

bench-mem: ## memory and disk for 10,000 to 1,000,000 objects, through the real program (OBJECTS=n,…)
	deploy/rabbitmq.sh install
	$(GO) test -timeout 120m -run '^$$' -bench Memory -benchtime 1x ./internal/bench

docker: ## build the image opencti/connector-threatmatch:latest
	DOCKER_BUILDKIT=1 docker build -f deploy/Dockerfile --build-arg VERSION=$(VERSION) --build-arg COMMIT=$(COMMIT) --build-arg DATE=$(DATE) \
		-t opencti/connector-threatmatch:latest .

docker-test: ## test the image with a real engine: kill, stop, lost volume, users, memory (OBJECTS=n, BINARY=prebuilt)
	deploy/docker-test.sh
	ENGINE_NETWORK=bridge deploy/docker-test.sh demo

# A smaller docker-test, without checks that a slow machine may fail. If no engine is
# available (77), or ten minutes passed without a failure but before the end (124), it
# says so. As root with apt-get, which can install an engine, both are failures.
docker-ci: build
	@code=0; BINARY=prebuilt OBJECTS=20000 IOCS=6000 TIME_LIMIT=600 FAIL_FAST=1 \
		deploy/docker-test.sh build import lost managed users migrate memory || code=$$?; \
	case $$code in 77 | 124) ;; *) exit $$code ;; esac; \
	[ $$code = 77 ] || echo "docker-test.sh: out of time, not everything was tested"; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then exit $$code; fi; \
	echo "docker-ci: skipped, and not as root with apt-get, so not a failure"

lint-deploy: ## check unit, compose files, manifests and the arm64 binary
	deploy/lint.sh

notices: ## list the licences of everything that is linked in
	deploy/notices.sh > deploy/THIRD_PARTY_NOTICES

release: ## binaries for amd64 and arm64 with checksums and SBOM, in dist/
	deploy/release.sh $(VERSION)

vuln: ## govulncheck
	deploy/vuln.sh

# All rules except those discussed in ARCHITECTURE.md ("What gosec says").
gosec: ## static analysis for security, the product's source without stand-ins
	$(GO) run github.com/securego/gosec/v2/cmd/gosec@v2.30.0 -quiet -exclude=G104,G115,G124,G304,G402,G404,G502,G505 \
		-exclude-dir=internal/sim -exclude-dir=internal/brokertest -exclude-dir=internal/pipeline/pipelinetest ./...

fmt: ## format the source
	gofmt -w $$(git ls-files '*.go')

clean: ## remove build output
	rm -rf bin dist
