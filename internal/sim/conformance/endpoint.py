"""A GraphQL endpoint that judges what OpenCTI's client sends to it.

Every operation's variables are held against the facts; what is created is known
from then on, under its STIX id and the id that the endpoint gave it."""

import datetime
import re
import uuid
from json import dumps, loads

from graphql import parse, print_ast
from stix2patterns.validator import validate as validate_pattern

import facts as f

TLP = {"613f2e26-407d-48c7-9eca-b8e91df99dc9", "34098fce-860f-48ae-8e50-ebd3cc5e41da",
       "f88d31f6-486f-44da-b317-01333bde0b82", "826578e1-40ad-459f-bc73-ede076f81f37",
       "5e57c739-391a-4eb3-b6be-7d15ca92d5ed"}
IDENTITIES = {"Individual", "Organization", "Sector", "System", "SecurityPlatform"}
# What is created beside an object.
BESIDE = {"labelAdd", "vocabularyAdd", "externalReferenceAdd", "killChainPhaseAdd", "stixRefRelationshipAdd"}
# Fields of inputs whose values name what must have been created.
REFERENCES = {
    "analysisSample", "analysisSco", "basedOn", "belongsTo", "bornIn", "createdBy", "dataComponents", "dataSource",
    "ethnicity", "externalReferences", "fromId", "hostVm", "installedSoftware", "killChainPhases", "networkDst",
    "networkSrc", "obsContent", "objectLabel", "objectMarking", "objectOrganization", "objects", "operatingSystem",
    "resolvesTo", "samples", "serviceDlls", "toId",
}


class Endpoint:
    """One platform, in the place of the client's HTTP session."""

    def __init__(self, facts):
        self.facts = facts
        # id → how the table of relationships names what has it
        self.created = {f"marking-definition--{tlp}": "marking-definition" for tlp in TLP}
        self.documents = {}
        self.unjudged = {}  # what the facts do not know → how often
        self.broken = None  # an error of this code
        self.begin()

    def begin(self):
        """Forgets what was said about the object before."""
        self.sent = []      # variables of each operation
        self.refused = []   # (root field, faults) of each refused operation
        self.reported = []  # errors that the client reported to the work
        self.made = False   # whether anything but what stands beside an object was created

    def post(self, _url, json=None, data=None, **_):
        """What the client calls of a session."""
        body = dumps(json) if json is not None else data["operations"]  # multipart: files come beside it
        body = loads(body)
        try:
            return Response(self.answer(body["query"], body.get("variables") or {}))
        except Exception as error:  # the client would take it for a refusal
            self.broken = error
            raise

    # Operations.

    def answer(self, text, variables):
        if text not in self.documents:
            operation = parse(text).definitions[0]
            kinds = {d.variable.name.value: print_ast(d.type) for d in operation.variable_definitions or ()}
            self.documents[text] = operation, kinds
        operation, kinds = self.documents[text]
        root = operation.selection_set.selections[0]
        name = root.name.value
        if operation.operation.value == "query":
            return {"data": {name: self.read(name, root, variables)}}
        if name == "workEdit":
            if variables.get("error") is not None:
                self.reported.append(variables["error"]["error"])
            return {"data": {name: {root.selection_set.selections[0].name.value: "work"}}}
        self.sent.append(variables)
        faults, unknown = [], []
        for key in variables:
            if key not in kinds:
                faults.append(f"${key}: not declared")
        for key, kind in kinds.items():
            self.facts.check(kind, variables.get(key), key, faults, unknown)
        for text in unknown:
            self.unjudged[text] = self.unjudged.get(text, 0) + 1
        values = variables.get("input", variables)
        if not faults and isinstance(values, dict):
            faults = self.beyond_schema(name, values)
        if faults:
            self.refused.append((name, faults))
            return {"errors": [{"name": "FUNCTIONAL_ERROR", "message": "; ".join(faults)}], "data": None}
        return {"data": {name: self.create(name, values, root)}}

    def beyond_schema(self, name, values):
        """What the platform refuses although its schema allows it."""
        faults = []
        for key, value in values.items():
            if key in REFERENCES and value is not None:
                for ref in value if isinstance(value, list) else [value]:
                    if ref is not None and ref not in self.created:
                        faults.append(f"{key}: {ref} was never created")
        if faults:
            return faults
        author = values.get("createdBy")
        if author is not None and not self.created[author].startswith("identity"):
            faults.append(f"createdBy: {author} is no identity")
        if name == "indicatorAdd":
            faults += self.indicator(values)
        if name in ("stixCoreRelationshipAdd", "stixSightingRelationshipAdd"):
            first, last = ("start_time", "stop_time") if name == "stixCoreRelationshipAdd" else ("first_seen", "last_seen")
            if values.get(first) and values.get(last) and when(values[first]) > when(values[last]):
                faults.append(f"{first} {values[first]} is after {last} {values[last]}")
        if name == "stixCoreRelationshipAdd":
            source, target = self.created[values["fromId"]], self.created[values["toId"]]
            if not self.facts.related(ends(source), values["relationship_type"], ends(target)):
                faults.append(f"{values['relationship_type']} is not allowed from {source} to {target}")
        return faults

    @staticmethod
    def indicator(values):
        faults = []
        if values["pattern_type"].lower() == "stix":
            errors = ["empty"]  # on which the validator fails
            if values["pattern"].strip():
                _, errors = validate_pattern(values["pattern"], stix_version="2.1", ret_errs=True)
            if errors:
                faults.append(f"pattern: {f.shorten(values['pattern'])}: {errors[0]}")
        main = values.get("x_opencti_main_observable_type")
        if main and main != "Unknown" and main not in OBSERVABLE_TYPES:
            faults.append(f"x_opencti_main_observable_type: {main} is unknown")
        begin = values.get("valid_from") or values.get("created")
        begin = when(begin) if begin else datetime.datetime.now(datetime.timezone.utc)
        if values.get("valid_until") and when(values["valid_until"]) <= begin:
            faults.append(f"valid_until {values['valid_until']} is not after the beginning {begin.isoformat()}")
        return faults

    def create(self, name, values, root):
        kind = kind_of(name, values)
        self.made |= name not in BESIDE
        given = str(uuid.uuid4())
        ids = [given, values.get("stix_id"), *(values.get("x_opencti_stix_ids") or [])]
        for id in filter(None, ids):
            self.created[id] = kind
        asked = {s.name.value for s in root.selection_set.selections if s.selection_set is None}
        return {k: v for k, v in values.items() if k in asked} | {
            "id": given, "standard_id": values.get("stix_id") or given, "entity_type": kind, "parent_types": [],
            "observables": {"edges": []}, "indicators": {"edges": []}}

    def read(self, name, root, variables):
        if name == "about":
            return {"version": self.facts.version}
        if name == "vocabularyCategories":
            return [{"key": v["category"], "entity_types": v["entity_types"].split(),
                     "fields": [{"key": v["field"], "required": v["required"] == "true", "multiple": v["multiple"] == "true"}]}
                    for v in self.facts.vocabularies]
        if any(s.name.value == "edges" for s in root.selection_set.selections):
            return {"edges": [], "pageInfo": {"startCursor": None, "endCursor": None, "hasNextPage": False,
                                              "hasPreviousPage": False, "globalCount": 0}}
        kind = self.created.get(variables.get("id"))
        return {"id": variables["id"], "standard_id": variables["id"], "entity_type": kind} if kind else None


class Response:
    """What the client reads of an answer."""

    status_code = 200

    def __init__(self, answer):
        self.answer = answer

    def json(self):
        return self.answer


def when(text):
    text = re.sub(r"(\.\d{6})\d+", r"\1", text.upper()).replace("Z", "+00:00")
    return datetime.datetime.fromisoformat(text)


def dashed(camel):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", camel).lower()


def kind_of(name, values):
    """How the table of relationships names what a mutation creates."""
    if name == "stixCyberObservableAdd":
        kind = values["type"].lower()
        return "stix-file" if kind == "stixfile" else kind
    if name == "stixCoreRelationshipAdd":
        return "relationship-" + values["relationship_type"]
    kind = dashed(name.removesuffix("Add"))
    if kind == "location":
        return "location-" + values["type"].lower()
    if kind == "identity":
        return "identity-" + dashed(values["type"])
    if kind in ("organization", "individual", "sector", "system", "security-platform"):
        return "identity-" + kind
    return kind


OBSERVABLE_TYPES = set("""Autonomous-System Directory Domain-Name Email-Addr Email-Message Email-Mime-Part-Type Artifact
    StixFile X509-Certificate IPv4-Addr IPv6-Addr Mac-Addr Mutex Network-Traffic Process Software Url User-Account
    Windows-Registry-Key Windows-Registry-Value-Type Cryptographic-Key Cryptocurrency-Wallet Hostname Text User-Agent
    Bank-Account Phone-Number Credential Tracking-Number Payment-Card Media-Content Persona SSH-Key""".split())
OBSERVABLE_KINDS = {t.lower() for t in OBSERVABLE_TYPES - {"StixFile"}} | {"stix-file"}


def ends(kind):
    """The names under which the table may hold an end."""
    names = [kind]
    if kind in ("threat-actor-group", "threat-actor-individual"):
        names.append("threat-actor")
    if kind in OBSERVABLE_KINDS:
        names.append("stix-cyber-observable")
    return names
