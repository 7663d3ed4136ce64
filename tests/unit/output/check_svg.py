# SPDX-License-Identifier: Apache-2.0
"""check_svg.py GRAPH.svg REPORT.json: the flame graph is well-formed XML, its frames lie within
their parents and beside each other, and it draws all that the report of the same trace holds, or the
difference of the same recordings."""
import json
import sys
import xml.etree.ElementTree as ElementTree

SVG = "{http://www.w3.org/2000/svg}"


def fail(message):
    sys.exit(f"{sys.argv[1]}: {message}")


def percent(text):
    if not text.endswith("%"):
        fail(f"{text} is no percentage")
    return float(text[:-1])


def check_frame(frame, total):
    start, width = int(frame.get("data-s")), int(frame.get("data-w"))
    for attribute, weight in (("x", start), ("width", width)):
        expected = 100 * weight / total if total else (100 if attribute == "width" else 0)
        if abs(percent(frame.get(attribute)) - expected) > 0.001:
            fail(f"{attribute} of {frame.find(SVG + 'title').text!r} is {frame.get(attribute)}")
    if not frame.find(SVG + "title").text or not frame.find(SVG + "text").text:
        fail("a frame has no name")
    return start, start + width, int(frame.get("data-d"))


def held_bytes(site, amount):
    """The memory of PostgreSQL's results is in blocks of the heap, too: those kinds are counted only."""
    return 0 if site["kind"].startswith("pg.") else site[amount]["bytes"]


def amounts(report):
    """What the root element says, by attribute."""
    sides = {"old-": "old", "": "new"} if "old" in report else {"": "outstanding"}
    out = {}
    for prefix, side in sides.items():
        out[prefix + "bytes"] = sum(held_bytes(site, side) for site in report["sites"])
        out[prefix + "count"] = sum(site[side]["count"] for site in report["sites"])
    return out


def weight(report):
    """Bytes, or the count of sites that have none; of a difference the larger of both recordings."""
    sides = ["old", "new"] if "old" in report else ["outstanding"]
    total = 0
    for site in report["sites"]:
        weighed = any(held_bytes(site, side) for side in sides)
        total += max(held_bytes(site, side) if weighed else site[side]["count"] for side in sides)
    return total


def main():
    root = ElementTree.parse(sys.argv[1]).getroot()
    report = json.load(open(sys.argv[2], encoding="utf-8"))
    frames = [f for f in root.iter(SVG + "svg") if "f" in f.get("class").split()]
    total = int(frames[0].get("data-w"))
    rows = {}
    for start, end, depth in (check_frame(frame, total) for frame in frames):
        rows.setdefault(depth, []).append((start, end))
    for depth in sorted(rows):
        row = sorted(rows[depth])
        for (_, end), (start, _) in zip(row, row[1:]):
            if start < end:
                fail(f"frames overlap at depth {depth}")
        for start, end in row if depth else []:
            if not any(s <= start and end <= e for s, e in rows[depth - 1]):
                fail(f"a frame at depth {depth} is wider than its parent")
    for key, held in amounts(report).items():
        if int(root.get("data-" + key)) != held:
            fail(f"{root.get('data-' + key)} {key} are drawn, {held} are reported")
    if total != weight(report):
        fail(f"the root weighs {total}, the sites {weight(report)}")
    if int(root.get("height")) < 18 * (max(rows) + 1):
        fail("the picture is not high enough for its rows")


main()
