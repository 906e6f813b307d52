"""Print what the clients' verdicts come to. Exit 1 when anything was refused.

Usage: report.py RESULT…
"""

import collections
import json
import sys



def table(results):
    names = sorted({name for r in results for name in r["data"]})
    width = max(map(len, [*names, "all"]))
    print(f"{'data':{width}}  objects" + "".join(f"  {'pycti ' + r['version']:>16}" for r in results))
    total = collections.Counter()
    for name in names:
        sets = [r["data"][name] for r in results]
        total["objects"] += sets[0]["objects"]
        for i, s in enumerate(sets):
            total[i] += len(s["refused"])
        print(f"{name:{width}}  {sets[0]['objects']:7}" + "".join(f"  {len(s['refused']):16}" for s in sets))
    print(f"{'all':{width}}  {total['objects']:7}" + "".join(f"  {total[i]:16}" for i in range(len(results))))
    return sum(total[i] for i in range(len(results)))


# What a data set holds on purpose and OpenCTI rightly refuses, by data set and id.
KNOWN = {
    "patterns_main_type indicator--00000001-0000-4000-8000-000000000000": "the hash in its pattern is made up, and not ours to judge",
}


def refusals(results):
    """Each object once, with the versions that refuse it."""
    rows = {}
    for r in results:
        for name, s in r["data"].items():
            for refusal in s["refused"]:
                row = rows.setdefault((name, refusal["id"]), {"versions": [], "faults": refusal["faults"]})
                row["versions"].append(r["version"])
    return [f"{name} {id} ({', '.join(row['versions'])}): {'; '.join(row['faults'])}" for (name, id), row in rows.items()]


def ignored(results):
    """Properties that clients drop without a word, with how often at most."""
    most = {}
    for r in results:
        total = collections.Counter()
        for s in r["data"].values():
            total.update(s["ignored"])
        for text, n in total.items():
            most.setdefault(text, {})[r["version"]] = n
    return [f"{text}: {', '.join(f'{n} by {v}' for v, n in by.items())}" for text, by in sorted(most.items())]


def unjudged(results):
    return [f"{r['version']}: {text}, {n} times" for r in results for text, n in sorted(r["unjudged"].items())]


def show(title, lines, shown):
    if lines:
        print(f"\n{title}: {len(lines)}")
        for line in lines[:shown]:
            print("  " + line)
        if len(lines) > shown:
            print(f"  … and {len(lines) - shown} more")


def main(files):
    results = []
    for file in files:
        with open(file, encoding="utf-8") as text:
            results.append(json.load(text))
    print("Objects that OpenCTI's own client and the platform's schema refuse:\n")
    table(results)
    known, new = [], []
    for line in refusals(results):
        (known if any(line.startswith(k) for k in KNOWN) else new).append(line)
    show("Refused", new, 50)
    show("Refused as it should be", [f"{line}: {why}" for line in known for k, why in KNOWN.items() if line.startswith(k)], 50)
    show("Ignored without a word although it carries knowledge", ignored(results), 50)
    show("Not judged, the facts do not know it", unjudged(results), 40)
    sys.exit(1 if new else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
