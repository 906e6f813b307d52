#!/usr/bin/env python3
"""Prints a CycloneDX 1.6 bill of materials of a Go binary.

    sbom.py BINARY VERSION LICENCES > BINARY.cdx.json

What is linked is read from the binary itself ("go version -m"); LICENCES is
what "notices.sh --list" printed. The same binary gives the same bytes.
"""

import base64
import hashlib
import json
import subprocess
import sys
import uuid
from urllib.parse import quote


def build_info(binary):
    lines = subprocess.run(["go", "version", "-m", binary], check=True, capture_output=True, text=True).stdout.splitlines()
    info = {"go": lines[0].rsplit(": ", 1)[1], "deps": [], "build": {}}
    for line in lines[1:]:
        f = line.strip().split("\t")
        if f[0] == "mod":
            info["main"] = f[1]
        elif f[0] == "dep":
            info["deps"].append((f[1], f[2], f[3] if len(f) > 3 else ""))
        elif f[0] == "=>":
            info["deps"][-1] = (f[1], f[2], f[3] if len(f) > 3 else "")
        elif f[0] == "build" and "=" in f[1]:
            key, _, value = f[1].partition("=")
            info["build"][key] = value
    return info


def purl(path, version):
    return f"pkg:golang/{quote(path)}@{quote(version)}"


def component(path, version, checksum, licence):
    c = {"type": "library", "bom-ref": purl(path, version), "name": path, "version": version, "scope": "required"}
    if checksum.startswith("h1:"):
        c["hashes"] = [{"alg": "SHA-256", "content": base64.b64decode(checksum[3:]).hex()}]
    if licence:
        c["licenses"] = [{"license": {"id": licence}}]
    c["purl"] = purl(path, version)
    return c


def main():
    binary, version, licences = sys.argv[1:]
    known = {}
    with open(licences, encoding="utf-8") as f:
        for line in f:
            path, _, licence = line.split()
            known[path] = licence
    info = build_info(binary)
    with open(binary, "rb") as f:
        digest = hashlib.sha256(f.read()).hexdigest()
    name = info["main"]
    root = f"{name}-{info['build'].get('GOOS')}-{info['build'].get('GOARCH')}"
    parts = [component("std", info["go"].removeprefix("go"), "", known.get("std"))]
    for path, v, checksum in sorted(info["deps"]):
        if path not in known:
            sys.exit(f"sbom.py: no licence known of {path}")
        parts.append(component(path, v, checksum, known[path]))
    json.dump(
        {
            "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, digest)}",
            "version": 1,
            "metadata": {
                "component": {
                    "type": "application",
                    "bom-ref": root,
                    "name": name,
                    "version": version,
                    "hashes": [{"alg": "SHA-256", "content": digest}],
                    "licenses": [{"license": {"id": "Apache-2.0"}}],
                    "properties": [{"name": f"go:{k}", "value": info["build"][k]} for k in sorted(info["build"]) if k in ("GOOS", "GOARCH", "CGO_ENABLED", "-trimpath")],
                }
            },
            "components": parts,
            "dependencies": [{"ref": root, "dependsOn": [c["bom-ref"] for c in parts]}],
        },
        sys.stdout,
        indent=2,
    )
    print()


if __name__ == "__main__":
    main()
