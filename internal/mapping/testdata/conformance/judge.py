"""Hold what the mapper sends against libraries that are not ours.

Usage: judge.py OUT RELATIONSHIPS.CSV

- stix2-validator accepts every object, with the properties below allowed;
- stix2 parses every object;
- pycti's splitter, cleaning references to what is not there, cleans nothing,
  drops nothing, and every object comes after what it needs, by its count too;
- pycti's generate_id gives the id of everything that we made an id for;
- OpenCTI's table allows every relationship;
- every actor of every report that came in is in the report that goes out.
"""

import collections
import copy
import csv
import glob
import json
import os
import sys
import uuid

import stix2
from pycti import (ExternalReference, Identity, Indicator, IntrusionSet, Location, Note, Report,
                   StixCoreRelationship, ThreatActorGroup)
from pycti.utils.opencti_stix2_splitter import OpenCTIStix2Splitter
from stix2validator import ValidationOptions, validate_instance

# What OpenCTI adds to STIX and the mapper writes; sources may bring other x_ properties.
OPENCTI_PROPERTIES = {
    "x_opencti_aliases", "x_opencti_content", "x_opencti_create_observables", "x_opencti_created_by_ref",
    "x_opencti_definition", "x_opencti_definition_type", "x_opencti_location_type", "x_opencti_main_observable_type",
    "x_opencti_score",
}
# Types of OpenCTI that STIX does not have, and properties of its own on STIX types.
OPENCTI_TYPES = {"case-incident"}
OPENCTI_EXTRA = {"incident": {"incident_type"}}

failures = []


def fail(run, text):
    failures.append(f"{run}: {text}")


def plain_stix(obj):
    """The object without what OpenCTI allows and STIX does not know."""
    extra = OPENCTI_EXTRA.get(obj["type"], set())
    return {k: v for k, v in obj.items() if k not in OPENCTI_PROPERTIES | extra}


def check_validator(run, obj):
    if obj["type"] in OPENCTI_TYPES:
        return False
    unlisted = [k for k in obj if k.startswith("x_") and k not in OPENCTI_PROPERTIES]
    if unlisted:
        fail(run, f"custom properties that are not listed: {obj['id']}: {unlisted}")
    # What STIX only recommends is left out, what it requires is checked.
    options = ValidationOptions(version="2.1", disabled=["all"], silent=True)
    result = validate_instance(plain_stix(obj), options)
    if not result.is_valid:
        fail(run, f"stix2-validator: {obj['id']}: {'; '.join(str(e) for e in result.errors)}")
    return True


def check_parse(run, obj):
    if obj["type"] in OPENCTI_TYPES:
        return
    try:
        stix2.parse(json.dumps(obj), allow_custom=True, version="2.1")
    except Exception as error:  # the library raises many kinds
        fail(run, f"stix2: {obj['id']}: {error}")


def refs_of(obj):
    return {k: v for k, v in obj.items() if k.endswith(("_ref", "_refs"))}


def check_splitter(run, objects):
    sys.setrecursionlimit(100_000)
    splitter = OpenCTIStix2Splitter()
    given = copy.deepcopy(objects)
    expectations, incompatible, bundles = splitter.split_bundle_with_expectations(
        {"type": "bundle", "id": f"bundle--{uuid.UUID(int=0)}", "objects": given}, use_json=False,
        cleanup_inconsistent_bundle=True)
    if incompatible:
        fail(run, f"splitter: drops {[o['id'] for o in incompatible][:5]}")
    if expectations != len(objects):
        fail(run, f"splitter: {len(objects)} objects, {expectations} expectations")
    before = {o["id"]: o for o in objects}
    for bundle in bundles:
        after = dict(bundle["objects"][0])
        after.pop("nb_deps")
        if after != before[after["id"]]:
            fail(run, f"splitter: cleans {after['id']}")
    ours = [o["id"] for o in objects]
    counts = {b["objects"][0]["id"]: b["objects"][0]["nb_deps"] for b in bundles}
    if [counts[i] for i in ours] != sorted(counts.values()):
        fail(run, "splitter: our order is not by rising nb_deps")
    seen = set()
    for obj in objects:
        for value in refs_of(obj).values():
            for ref in value if isinstance(value, list) else [value]:
                if ref not in seen:
                    fail(run, f"order: {obj['id']} refers to {ref}, which is not before it")
        seen.add(obj["id"])
    return len(bundles)


def pycti_id(obj):
    """pycti's id of an object that the mapper made, None where it makes none."""
    kind = obj["type"]
    if kind == "identity":
        return Identity.generate_id(obj["name"], obj["identity_class"])
    if kind == "location":
        return Location.generate_id(obj["name"], obj["x_opencti_location_type"])
    if kind == "relationship":
        return StixCoreRelationship.generate_id(obj["relationship_type"], obj["source_ref"], obj["target_ref"])
    return None


def check_ids(run, objects, inputs):
    given = set()
    for body in inputs:
        for obj in json.loads(body)["objects"]:
            if isinstance(obj, dict) and isinstance(obj.get("id"), str):
                given.add(obj["id"].replace("threat-actor--", "intrusion-set--"))
                given.add(obj["id"])
    made = 0
    for obj in objects:
        if obj["id"] in given or obj["type"] == "marking-definition":
            continue
        made += 1
        if obj["id"] != pycti_id(obj):
            fail(run, f"id: {obj['id']}, pycti says {pycti_id(obj)}")
    return made


def check_names(file):
    rows = json.load(open(file))
    for row in rows:
        name = row["name"]
        for key, want in {
            "sector": Identity.generate_id(name, "class"), "set": IntrusionSet.generate_id(name),
            "country": Location.generate_id(name, "Country"), "report": Report.generate_id(name, "2024-01-02T03:04:05.000Z"),
            "indicator": Indicator.generate_id(name), "actor": ThreatActorGroup.generate_id(name),
            "url": ExternalReference.generate_id(url=name), "note": Note.generate_id("2024-01-02T03:04:05.000Z", name),
        }.items():
            if row[key] != want:
                fail("names", f"{key} of {name!r}: {row[key]}, pycti says {want}")
    return len(rows)


def kinds_of(obj):
    kind = obj["type"]
    if kind == "identity":
        kind = {"individual": "identity-individual", "class": "identity-sector", "system": "identity-system"}.get(
            obj.get("identity_class"), "identity-organization")
    elif kind == "location":
        kind = "location-" + obj["x_opencti_location_type"].lower()
    elif kind == "threat-actor":
        person = obj.get("x_opencti_type") == "Threat-Actor-Individual" or obj.get("resource_level") == "individual"
        return ["threat-actor", "threat-actor-individual" if person else "threat-actor-group"]
    elif kind == "file":
        kind = "stix-file"
    elif kind == "relationship":
        kind = "relationship-" + obj["relationship_type"]
    return [kind] + (["stix-cyber-observable"] if kind in ("stix-file", "ipv4-addr", "url", "domain-name") else [])


def check_table(run, objects, table):
    by_id = {o["id"]: o for o in objects}
    checked = 0
    for obj in objects:
        if obj["type"] != "relationship":
            continue
        checked += 1
        relation = obj["relationship_type"]
        if relation in ("related-to", "revoked-by"):
            continue
        sources, targets = kinds_of(by_id[obj["source_ref"]]), kinds_of(by_id[obj["target_ref"]])
        if not any((s, relation, t) in table for s in sources for t in targets):
            fail(run, f"table: {sources} {relation} {targets} is refused")
    return checked


def check_actors(run, objects, inputs, as_sets):
    by_id = {o["id"]: o for o in objects}
    want, newest = {}, {}
    for body in inputs:
        for obj in json.loads(body)["objects"]:
            if not isinstance(obj, dict) or obj.get("type") != "report" or obj["id"] not in by_id:
                continue
            rank = (obj.get("modified", ""), len(obj))
            if rank >= newest.get(obj["id"], ("", 0)):
                newest[obj["id"]] = rank
                want[obj["id"]] = [r for r in obj.get("object_refs", []) if isinstance(r, str) and r.startswith("threat-actor--")]
    checked = 0
    for report, actors in want.items():
        for actor in actors:
            ours = actor.replace("threat-actor--", "intrusion-set--") if as_sets else actor
            if ours not in by_id:
                continue  # never sent by the source
            checked += 1
            if ours not in by_id[report].get("object_refs", []):
                fail(run, f"actors: {report} has lost {ours}")
    return checked


def main(out, relationships):
    with open(relationships, newline="") as file:
        table = {tuple(row) for row in csv.reader(file)}
    total = collections.Counter()
    for file in sorted(glob.glob(os.path.join(out, "*.run.json"))):
        run = json.load(open(file))
        name, objects, inputs = run["name"], run["objects"], run["inputs"]
        tally = collections.Counter(objects=len(objects))
        for obj in objects:
            tally["validated"] += check_validator(name, obj)
            check_parse(name, obj)
        tally["split"] = check_splitter(name, objects)
        tally["ids"] = check_ids(name, objects, inputs)
        tally["relationships"] = check_table(name, objects, table)
        tally["actors in reports"] = check_actors(name, objects, inputs, run["settings"]["ThreatActorAsIntrusionSet"])
        total += tally
        print(f"{name}: " + ", ".join(f"{v} {k}" for k, v in tally.items()))
        if name.startswith("generated") or len(objects) > 60:
            print("   counts: " + ", ".join(f"{k} {v}" for k, v in sorted(run["counts"].items())) + f", held {len(run['held'] or [])}")
    total["names"] = check_names(os.path.join(out, "names.json"))
    print("all: " + ", ".join(f"{v} {k}" for k, v in total.items()))
    for text in failures[:50]:
        print("FAIL " + text)
    checks = sum(total.values())
    print(f"{checks - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
