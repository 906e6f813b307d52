"""Hold the verdicts of the worker's stand-in against those of OpenCTI's client
and schema on the same random objects. Exit 1 when any differs.

Usage: agreement.py VERDICTS RESULT…
"""

import json
import sys


def main(verdicts, files):
    with open(verdicts, encoding="utf-8") as file:
        ours = json.load(file)
    differ = 0
    for name in files:
        with open(name, encoding="utf-8") as file:
            result = json.load(file)
        refused = ours.get(result["version"])
        if refused is None:
            continue
        for name, data in sorted(result["data"].items()):
            theirs = {r["id"]: "; ".join(r["faults"]) for r in data["refused"]}
            said = refused[name]
            wrong = sorted(theirs.keys() ^ said.keys())
            differ += len(wrong)
            print(f"{result['version']}, {name}: {data['objects']} random objects, {len(theirs)} refused, "
                  f"{len(wrong)} on which the stand-in differs")
            for id in wrong[:20]:
                print(f"  {id}: client: {theirs.get(id, 'accepted')}; stand-in: {said.get(id, 'accepted')}")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
