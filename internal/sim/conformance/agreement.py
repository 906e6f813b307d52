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
        theirs = {r["id"]: "; ".join(r["faults"]) for r in result["data"]["random"]["refused"]}
        wrong = sorted(theirs.keys() ^ refused.keys())
        differ += len(wrong)
        print(f"{result['version']}: {result['data']['random']['objects']} random objects, {len(theirs)} refused, "
              f"{len(wrong)} on which the stand-in differs")
        for id in wrong[:20]:
            print(f"  {id}: client: {theirs.get(id, 'accepted')}; stand-in: {refused.get(id, 'accepted')}")
    sys.exit(1 if differ else 0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
