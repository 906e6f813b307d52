"""Compare what two connectors archived of the same data: ids and properties.
Exit 1 when the second lacks an id of the first.

Usage: beside.py THEIRS OURS
"""

import collections
import glob
import json
import os
import sys


def load(directory):
    objects = {}
    for file in sorted(glob.glob(os.path.join(directory, "**", "*.json"), recursive=True)):
        with open(file, encoding="utf-8") as text:
            for obj in json.load(text)["bundle"]["objects"]:
                objects.setdefault(obj["id"], {}).update(obj)
    return objects


def by_type(ids):
    return ", ".join(f"{n} {t}" for t, n in sorted(collections.Counter(id.split("--")[0] for id in ids).items())) or "none"


def main(theirs, ours):
    theirs, ours = load(theirs), load(ours)
    if not theirs or not ours:
        sys.exit(f"nothing to compare: {len(theirs)} objects of theirs, {len(ours)} of ours")
    lacking, more = theirs.keys() - ours.keys(), ours.keys() - theirs.keys()
    print(f"{len(theirs)} ids of theirs, {len(ours)} of ours")
    print(f"only in theirs: {by_type(lacking)}")
    print(f"only in ours: {by_type(more)}")
    only = collections.Counter()
    for id in theirs.keys() & ours.keys():
        for key in theirs[id].keys() - ours[id].keys() - {"nb_deps"}:
            only[f"only in theirs: {theirs[id]['type']}.{key}"] += 1
        for key in ours[id].keys() - theirs[id].keys() - {"nb_deps"}:
            only[f"only in ours: {ours[id]['type']}.{key}"] += 1
    for text, n in sorted(only.items()):
        print(f"{text}, of {n}")
    sys.exit(1 if lacking else 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
