#!/usr/bin/env bash
# Checks what deploy/ ships with the tools of its platforms, as far as they are
# installed or can be had:
#
#   shell scripts    shellcheck (Debian)
#   systemd unit     systemd-analyze verify, and security: exposure 2.0 at most
#   compose files    docker-compose config (Debian)
#   Kubernetes       kubernetes-validate (PyPI), of versions with schemas there
#   notices          deploy/notices.sh --check
#   SBOM             the CycloneDX schema (PyPI: cyclonedx-python-lib)
#   arm64            the binary starts under qemu (Debian: qemu-user-static)
#
# As root on Debian what is missing is installed. A tool that is missing fails.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
check() { # DESCRIPTION COMMAND…
	local what=$1
	shift
	if "$@" >"$work/out" 2>&1; then echo "ok    $what"; else
		echo "FAIL  $what"
		sed 's/^/      /' "$work/out" | head -n 20
		failures=$((failures + 1))
	fi
}

tools() {
	local missing=()
	command -v shellcheck >/dev/null || missing+=(shellcheck)
	command -v systemd-analyze >/dev/null || missing+=(systemd)
	command -v docker-compose >/dev/null || missing+=(docker-compose)
	command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
	if [ ${#missing[@]} -gt 0 ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
		apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -yqq --no-install-recommends "${missing[@]}" >/dev/null
	fi
	python3 -m venv "$work/venv"
	"$work/venv/bin/pip" -q install --disable-pip-version-check kubernetes-validate pyyaml 'cyclonedx-python-lib[json-validation]'
}

unit() { # as it would be installed, with a program where it says
	local dir=$work/unit
	mkdir -p "$dir"
	sed "s,/usr/bin/threatmatch-connector,$PWD/bin/threatmatch-connector," deploy/systemd/threatmatch-connector.service >"$dir/threatmatch-connector.service"
	SYSTEMD_UNIT_PATH="$dir:" systemd-analyze verify --man=no --recursive-errors=no "$dir/threatmatch-connector.service" 2>&1 | tee "$dir/said"
	[ ! -s "$dir/said" ] # an unknown key is only a warning to it
}
exposure() {
	systemd-analyze security --no-pager --offline=true --threshold=20 deploy/systemd/threatmatch-connector.service | tail -n 1
}
compose() { # FILE…
	local args=()
	for f in "$@"; do args+=(-f "$f"); done
	env OPENCTI_URL=http://opencti:8080 OPENCTI_TOKEN=t CONNECTOR_ID=i THREATMATCH_CLIENT_ID=c THREATMATCH_CLIENT_SECRET=s \
		CONNECTOR_THREATMATCH_TOKEN=t CONNECTOR_THREATMATCH_ID=i docker-compose "${args[@]}" config -q
}
opencti_compose() { # stands for OpenCTI's own file, which has the service we depend on
	printf 'services:\n  opencti:\n    image: opencti/platform:latest\n    healthcheck:\n      test: ["CMD", "true"]\n' >"$work/opencti.yml"
	compose "$work/opencti.yml" deploy/docker-compose.opencti.yml
}
manifests() {
	"$work/venv/bin/kubernetes-validate" --strict --quiet deploy/kubernetes/{configmap,secret,service,statefulset}.yaml
}
kustomization() { # every resource that it names is there, and the other way round
	"$work/venv/bin/python" - <<'PY'
import pathlib, yaml
d = pathlib.Path("deploy/kubernetes")
named = set(yaml.safe_load((d / "kustomization.yaml").read_text())["resources"])
there = {p.name for p in d.glob("*.yaml")} - {"kustomization.yaml"}
assert named == there, (named, there)
PY
}
bill() {
	deploy/notices.sh --list >"$work/licences"
	python3 deploy/sbom.py bin/threatmatch-connector lint "$work/licences" >"$work/bom.json"
	"$work/venv/bin/python" - "$work/bom.json" <<'PY'
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1]).read())
assert error is None, error
PY
}
arm64() {
	GOOS=linux GOARCH=arm64 CGO_ENABLED=0 go build -trimpath -o "$work/arm64" ./cmd/threatmatch-connector
	qemu-aarch64-static "$work/arm64" version
	qemu-aarch64-static "$work/arm64" config sample >/dev/null
}

tools
[ -x bin/threatmatch-connector ] || make --no-print-directory build
check "shellcheck" shellcheck -S warning deploy/*.sh
check "systemd-analyze verify" unit
check "systemd-analyze security" exposure
sed 's/^/      /' "$work/out"
check "docker-compose.yml" compose deploy/docker-compose.yml
check "docker-compose.opencti.yml" opencti_compose
check "docker-compose.demo.yml" compose deploy/docker-compose.demo.yml
check "Kubernetes manifests" manifests
check "kustomization" kustomization
check "notices" deploy/notices.sh --check
check "bill of materials" bill
check "arm64 under qemu" arm64
sed 's/^/      /' "$work/out"
echo "$failures failed"
[ $failures = 0 ]
