"""What OpenCTI accepts: relationship types, read from internal/facts, and inputs of
its GraphQL and vocabularies, read from internal/sim/schema. Nothing here knows a client."""

import csv
import datetime
import json
import os
import re

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
UUID_ONLY = re.compile(UUID, re.IGNORECASE)
STIX_ID = re.compile(rf"([a-z0-9-]+)--{UUID}", re.IGNORECASE)
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3])(:[0-5]\d){2}(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)")
SCHEMA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "schema")
# Leaves of variables that the facts do not describe and that are always fine.
UNJUDGED_SCALARS = {"ID", "Any", "Upload", "JSON"}


def is_uuid(text):
    return UUID_ONLY.fullmatch(text) is not None


def is_date_time(text):
    if not DATE_TIME.fullmatch(text):
        return False
    try:
        datetime.date.fromisoformat(text[:10])
    except ValueError:
        return False
    return True


class Facts:
    """The facts as one version of the platform has them."""

    def __init__(self, directory, version, known_types):
        with open(os.path.join(SCHEMA, "inputs.json"), encoding="utf-8") as file:
            data = json.load(file)
        self.version = version
        self.old = version == "6.8.10"
        self.inputs = {k: v for k, v in data["inputs"].items() if not k.startswith("enum ")}
        self.enums = {k[5:]: v for k, v in data["inputs"].items() if k.startswith("enum ")}
        self.missing = {k: set(v["only in 6.9.17"]) for k, v in data["differences_of_6.8.10"].items()}
        self.added = {k.removeprefix("enum ") for k in data["types_new_since_6.8.10"]}
        self.known_types = known_types
        column = {"6.8.10": 3, "6.9.17": 4}.get(version, 5)
        self.relations = set()
        with open(os.path.join(directory, "relationships.csv"), encoding="utf-8") as file:
            for row in list(csv.reader(file))[1:]:
                if "yes" in (row[column], row[4] if column == 5 else ""):
                    self.relations.add((end(row[0]), row[1], end(row[2])))
        with open(os.path.join(SCHEMA, "vocabularies.csv"), encoding="utf-8") as file:
            self.vocabularies = list(csv.DictReader(file))

    def fields(self, name):
        """The fields of an input, None when the version has no such input."""
        if name not in self.inputs or self.old and name in self.added:
            return None
        return {k: v for k, v in self.inputs[name].items() if not (self.old and k in self.missing.get(name, ()))}

    def related(self, sources, relation, targets):
        """Sources and targets are the names that an end has in the table."""
        return relation in ("related-to", "revoked-by") or any(
            (s, relation, t) in self.relations for s in sources for t in targets)

    def check(self, kind, value, path, faults, unknown):
        """Adds what is wrong with a value of a type to faults, and what the
        facts do not know to unknown."""
        if kind.endswith("!"):
            if value is None:
                faults.append(f"{path}: missing, {kind} is required")
                return
            kind = kind[:-1]
        if value is None:
            return
        if kind.startswith("["):
            for i, element in enumerate(value if isinstance(value, list) else [value]):
                self.check(kind[1:-1], element, f"{path}[{i}]", faults, unknown)
        elif kind in self.enums and not (self.old and kind in self.added):
            if value not in self.enums[kind]:
                (unknown if self.newest else faults).append(f"{path}: {value!r} is none of {kind}")
        elif self.fields(kind) is not None:
            self.check_input(kind, value, path, faults, unknown)
        elif kind in SCALARS:
            if not SCALARS[kind](self, value):
                faults.append(f"{path}: {shorten(value)} is no {kind}")
        elif kind not in UNJUDGED_SCALARS:
            unknown.append(f"{kind}" if self.newest or kind not in self.added else f"{path}: type {kind}")

    def check_input(self, name, value, path, faults, unknown):
        if not isinstance(value, dict):
            faults.append(f"{path}: {shorten(value)} is no {name}")
            return
        fields = self.fields(name)
        for key in value:
            if key not in fields:
                if self.newest:
                    unknown.append(f"{name}.{key}")
                else:
                    faults.append(f"{path}.{key}: {name} has no such field")
        for key, field in fields.items():
            element = value.get(key)
            here = f"{path}.{key}"
            before = len(faults)
            self.check(field["type"], element, here, faults, unknown)
            if element is None or len(faults) > before:
                continue
            if len(element) < int(field["minLength"]) if "minLength" in field else False:
                faults.append(f"{here}: {shorten(element)} is shorter than {field['minLength']}")
            if field.get("format") == "not-blank" and not element.strip():
                faults.append(f"{here}: blank")
            if "min" in field and element < int(field["min"]) or "max" in field and element > int(field["max"]):
                faults.append(f"{here}: {element} is not from {field['min']} to {field['max']}")

    @property
    def newest(self):
        """Whether the platform's own schema was not read: 6.9.17's stands in."""
        return self.version not in ("6.8.10", "6.9.17")


def end(kind):
    """A relationship as an end: 6.x writes uses, 7.26 relationship-uses."""
    return "relationship-" + kind if kind in ("uses", "targets") else kind


def shorten(value):
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


def integer(_, value):
    whole = isinstance(value, int) or isinstance(value, float) and value.is_integer()
    return whole and not isinstance(value, bool) and -(2**31) <= value < 2**31


def stix_id(facts, value):
    match = STIX_ID.fullmatch(value) if isinstance(value, str) else None
    return match is not None and match[1] in facts.known_types


SCALARS = {
    "Boolean": lambda _, v: isinstance(v, bool),
    "Int": integer,
    "Float": lambda _, v: isinstance(v, (int, float)) and not isinstance(v, bool),
    "String": lambda _, v: isinstance(v, str),
    "DateTime": lambda _, v: isinstance(v, str) and is_date_time(v),
    "StixId": stix_id,
    "StixRef": lambda f, v: isinstance(v, str) and (is_uuid(v) or stix_id(f, v)),
}
