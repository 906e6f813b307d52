"""Learn which property of an object the client hands to which field of which
input, by trying: the table client.csv of internal/sim/schema.

Usage: learn.py FACTS [OTHER] > client.csv

OTHER is what was learnt of another version; where both agree it is one row.

Each property that the client looks at is set to a value of its own, one at a
time; where that value comes out is where it goes."""

import csv
import importlib.metadata
import json
import logging
import sys
import time

from pycti.utils.constants import StixCyberObservableTypes

from endpoint import BESIDE, OBSERVABLE_KINDS, Endpoint
from facts import Facts
from judge import Judge, supported_types

IDENTITIES = ["organization", "individual", "class", "system", "securityplatform"]
LOCATIONS = ["Region", "Country", "City", "Administrative-Area", "Position"]
OTHERS = """attack-pattern campaign case-incident case-rfi case-rft channel course-of-action data-component data-source event
    feedback grouping incident indicator infrastructure intrusion-set language malware malware-analysis narrative note
    observed-data opinion report task tool vulnerability relationship sighting marking-definition""".split()
# Without these the client sends nothing, and says so only to its log.
WANTED = {
    "indicator": {"pattern": "the pattern", "pattern_type": "the type"}, "report": {"name": "the name", "published": "the time"},
    "note": {"content": "the content"}, "opinion": {"opinion": "the opinion"},
    "malware-analysis": {"product": "the product", "result_name": "the name"},
    "observed-data": {"object_refs": ["identity--11111111-1111-4111-8111-111111111111"], "first_observed": "the first", "last_observed": "the last"},
}
UUID = "11111111-1111-4111-8111-111111111111"


class Seen(dict):
    """An object that notes what is asked of it."""

    asked = set()

    def __contains__(self, key):
        Seen.asked.add(key)
        return super().__contains__(key)

    def get(self, key, *rest):
        Seen.asked.add(key)
        return super().get(key, *rest)

    def __getitem__(self, key):
        Seen.asked.add(key)
        return super().__getitem__(key)


class Learner(Judge):
    def run(self, obj):
        """The variables of the creating operation and its root field; None when
        the client fails, and on what."""
        self.endpoint.begin()
        Seen.asked = set()
        stix2, obj = self.client.stix2, Seen(json.loads(json.dumps(obj)))
        try:  # beneath what catches errors and tries again
            if obj["type"] == "relationship":
                stix2.import_relationship(obj)
            elif obj["type"] == "sighting":
                where = obj.get("x_opencti_where_sighted_refs") or obj.get("where_sighted_refs") or [None]
                of = obj.get("x_opencti_sighting_of_ref") or obj.get("sighting_of_ref")
                stix2.import_sighting(obj, of, where[0])
            elif StixCyberObservableTypes.has_value(obj["type"]):
                stix2.import_observable(obj)
            else:
                stix2.import_object(obj)
        except Exception as error:
            return None, error
        return self.endpoint.operation, None


class Open(Endpoint):
    """Accepts everything and keeps the operation that creates the object."""

    operation = None

    def begin(self):
        super().begin()
        self.operation = None

    def answer(self, text, variables):
        answer = super().answer(text, variables)
        name = next(iter(answer["data"])) if answer.get("data") else None
        if name and name.endswith("Add") and name not in BESIDE:
            self.operation = (name, variables)
        return answer

    def beyond_schema(self, name, values):
        return []


def variants():
    for c in IDENTITIES:
        yield "identity-" + {"class": "sector", "securityplatform": "security-platform"}.get(c, c), {"type": "identity", "identity_class": c}
    for place in LOCATIONS:
        yield "location-" + place.lower(), {"type": "location", "x_opencti_location_type": place}
    yield "threat-actor-group", {"type": "threat-actor"}
    yield "threat-actor-individual", {"type": "threat-actor", "x_opencti_type": "Threat-Actor-Individual"}
    for kind in OTHERS:
        yield kind, {"type": kind}
    for kind in sorted(OBSERVABLE_KINDS):
        yield kind, {"type": "file" if kind == "stix-file" else kind}


def find(value, mark, path=""):
    if isinstance(value, dict):
        for k, v in value.items():
            yield from find(v, mark, f"{path}.{k}" if path else k)
    elif isinstance(value, list):
        for v in value:
            yield from find(v, mark, path)
    elif value == mark:
        yield path


def flat(variables):
    """The fields of the input, for an observable with its own input under a name."""
    values = variables.get("input", variables)
    return {f"{k}.{s}" if isinstance(v, dict) and k[0].isupper() else k: (x if isinstance(v, dict) and k[0].isupper() else v)
            for k, v in values.items() for s, x in (v.items() if isinstance(v, dict) and k[0].isupper() else [(None, None)])}


def learn(learner, variant, base):
    base = base | {"id": f"{base['type']}--{UUID}"} | WANTED.get(variant, {})
    needed = []
    for _ in range(12):
        operation, error = learner.run(base)
        if operation:
            break
        if isinstance(error, KeyError) and error.args[0] not in base:
            key = error.args[0]
            needed.append(key)
            base[key] = "2024-01-01T00:00:00Z" if key == "date" else [f"identity--{UUID}"] if key.endswith("_refs") else f"identity--{UUID}" if key.endswith("_ref") else "the " + key
        elif base["type"] == "sighting":
            base |= {"sighting_of_ref": f"identity--{UUID}", "where_sighted_refs": [f"identity--{UUID}"]}
        elif "name" not in base and variant not in WANTED:
            base["name"] = "the name"
        else:
            return
    else:
        return
    asked = set(Seen.asked)
    name, variables = operation
    rows = {field: {"properties": [], "default": value} for field, value in flat(variables).items()}
    for key in sorted(asked - {"id", "type", "extensions", "opencti_operation"}):
        for value in (f"{key}@", [f"{key}@"]):
            operation, _ = learner.run(base | {key: value})
            paths = [p for p in find(operation[1], f"{key}@")] if operation else []
            if paths:
                for path in paths:
                    path = path.removeprefix("input.")
                    rows.setdefault(path, {"properties": [], "default": None})["properties"].append(key)
                break
    for field, row in sorted(rows.items()):
        default = row["default"]
        row["properties"] = ranked(learner, base, field, row["properties"])
        if any(key in WANTED.get(variant, {}) for key in row["properties"]):
            without, _ = learner.run({k: v for k, v in base.items() if k not in row["properties"]})
            default = flat(without[1]).get(field) if without else None
        for key in row["properties"]:
            if key in base and default in (base[key], [base[key]], *(base[key] if isinstance(base[key], list) else [])):
                default = None
        if not row["properties"] and default in (None, [], False):
            continue
        yield [variant, name, field, " ".join(row["properties"]), " ".join(k for k in row["properties"] if k in needed),
               "" if default is None else json.dumps(default)]


def ranked(learner, base, field, properties):
    """The properties in the client's order: the one that is used where several are there comes first."""
    left, order = list(properties), []
    while len(left) > 1:
        operation, _ = learner.run({k: v for k, v in base.items() if k not in order} | {k: [f"{k}@"] for k in left})
        if not operation:
            operation, _ = learner.run({k: v for k, v in base.items() if k not in order} | {k: f"{k}@" for k in left})
        won = [k for k in left if operation and field in [p.removeprefix("input.") for p in find(operation[1], f"{k}@")]]
        if len(won) != 1:
            break
        order += won
        left.remove(won[0])
    return order + left


def main(facts_directory, other=None):
    time.sleep = lambda _: None
    logging.disable(logging.CRITICAL)
    version = importlib.metadata.version("pycti")
    learner = Learner(Facts(facts_directory, version, supported_types()))
    out = csv.writer(sys.stdout, lineterminator="\n")
    header = ["kind", "operation", "field", "properties", "needed", "default", "versions"]
    out.writerow(header)
    rows = {}
    if other:
        with open(other, encoding="utf-8") as file:
            rows = {tuple(row[:-1]): [row[-1]] for row in list(csv.reader(file))[1:]}
    for variant, base in variants():
        learner.platform()
        learner.endpoint = Open(learner.facts)
        learner.endpoint.facts.check = lambda *_: None
        learner.client.session = learner.endpoint
        for row in learn(learner, variant, base):
            rows.setdefault(tuple(row), []).append(version)
    for row, versions in sorted(rows.items()):
        out.writerow([*row, " ".join(versions)])


if __name__ == "__main__":
    main(*sys.argv[1:])
