"""Hand what would be sent to OpenCTI to its own client, as a worker does.

Usage: judge.py FACTS MESSAGES RESULT

FACTS is internal/facts. MESSAGES is a directory: each file or directory in it is
one set of data, of archives as connector.send_to_directory writes them, or STIX
bundles. The client is the pycti that is installed; the verdicts go to RESULT as
JSON. Each object is a message of its own, in the order of the bundles.
"""

import collections
import glob
import importlib.metadata
import json
import logging
import os
import sys
import time
import uuid

from pycti import OpenCTIApiClient
from pycti.utils import opencti_stix2, opencti_stix2_utils

from endpoint import Endpoint
from facts import Facts

# Properties without knowledge of their own: what STIX needs to be STIX, what
# the splitter adds, and orders to the platform.
FORM = {"type", "id", "spec_version", "nb_deps", "x_opencti_create_observables", "x_opencti_create_indicator", "created",
        "modified", "defanged", "revoked", "extensions", "x_opencti_type", "identity_class", "definition_type",
        "x_opencti_definition_type", "opinion"}
# The input's name of a property where it is another one.
NAMES = {
    "labels": "objectLabel", "external_references": "externalReferences", "kill_chain_phases": "killChainPhases",
    "object_refs": "objects", "created_by_ref": "createdBy", "x_opencti_created_by_ref": "createdBy",
    "object_marking_refs": "objectMarking", "source_ref": "fromId", "target_ref": "toId", "sighting_of_ref": "fromId",
    "where_sighted_refs": "toId", "sample_refs": "samples", "x_opencti_granted_refs": "objectOrganization",
}


def supported_types():
    """The types of ids that the client, and so its platform, knows."""
    lists = (v for k, v in vars(opencti_stix2_utils).items() if k.isupper() and isinstance(v, list))
    types = {t for values in lists for t in values if isinstance(t, str)}
    types |= {t.value for t in opencti_stix2_utils.StixCyberObservableTypes} if hasattr(
        opencti_stix2_utils, "StixCyberObservableTypes") else set()
    return types | {"relationship", "sighting"}


class Judge:
    def __init__(self, facts):
        self.facts = facts
        self.unjudged = collections.Counter()

    def platform(self):
        """A new platform and the client that talks to it."""
        self.endpoint = Endpoint(self.facts)
        self.client = OpenCTIApiClient("http://opencti", "token", log_level="critical", perform_health_check=False)
        self.client.session = self.endpoint

    def message(self, obj):
        """Imports one object; returns why it was refused, and what got lost of it."""
        self.endpoint.begin()
        bundle = {"type": "bundle", "id": f"bundle--{uuid.UUID(int=1)}", "spec_version": "2.1", "x_opencti_seq": 1, "objects": [obj]}
        try:
            self.client.stix2.import_bundle_from_json(json.dumps(bundle), False, None, "work")
        except Exception as error:  # a worker drops such a message without a word
            if self.endpoint.broken:
                raise
            return [f"client: {type(error).__name__}: {error}"], []
        if self.endpoint.broken:
            raise self.endpoint.broken
        reported = self.endpoint.reported
        if reported:
            # The client's text wraps ours, or is its own where it failed itself.
            ours = [fault for _, faults in self.endpoint.refused for fault in faults]
            return [*(ours or [f"client: {text}" for text in reported])], []
        if not self.endpoint.made:
            return ["client: sends nothing"], []
        lost = [f"{name}: {fault}" for name, faults in self.endpoint.refused for fault in faults]
        return [], lost + self.ignored(obj)

    def ignored(self, obj):
        """Properties with a value of which nothing was sent."""
        sent, leaves = {}, set()
        for variables in self.endpoint.sent:
            for values in [variables, *(v for v in variables.values() if isinstance(v, dict))]:
                for key, value in values.items():
                    if value not in (None, [], ""):
                        sent.setdefault(key, value)
            collect(variables, leaves)
        lost = []
        for key, value in obj.items():
            if key in FORM or value in (None, False, "", [], {}):
                continue
            name = NAMES.get(key, key)
            given = sent.get(name, sent.get("attribute_" + key))
            if isinstance(given, list) and isinstance(value, list) and len(given) < len(value):
                lost.append(f"{obj['type']}.{key}: some")
            elif given is None:
                mine = set()
                collect(value, mine)
                if not {m for m in mine if isinstance(m, str)} & leaves:
                    lost.append(f"{obj['type']}.{key}")
        return lost

    def judge(self, objects):
        self.platform()
        result = {"objects": len(objects), "refused": [], "ignored": collections.Counter(), "accepted": []}
        for obj in objects:
            refused, lost = self.message(json.loads(json.dumps(obj)))
            if refused:
                result["refused"].append({"id": obj.get("id"), "faults": refused})
            else:
                result["accepted"].append(obj.get("id"))
            result["ignored"].update(lost)
        self.unjudged.update(self.endpoint.unjudged)
        return result


def collect(value, leaves):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for element in value:
            collect(element, leaves)
    else:
        leaves.add(value)


def load(path):
    """The objects of a file or of a directory's files, in order."""
    files = sorted(glob.glob(os.path.join(glob.escape(path), "*.json"))) if os.path.isdir(path) else [path]
    objects = []
    for file in files:
        with open(file, encoding="utf-8") as text:
            data = json.load(text)
        objects += data.get("bundle", data)["objects"]
    return objects


def main(facts_directory, messages, result):
    # The client waits before it tries again; here nothing comes meanwhile.
    time.sleep = lambda _: None
    logging.disable(logging.CRITICAL)
    version = importlib.metadata.version("pycti")
    judge = Judge(Facts(facts_directory, version, supported_types()))
    data = {}
    for name in sorted(os.listdir(messages)):
        data[name.removesuffix(".json")] = judge.judge(load(os.path.join(messages, name)))
    with open(result, "w", encoding="utf-8") as file:
        json.dump({"version": version, "data": data, "unjudged": judge.unjudged}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
