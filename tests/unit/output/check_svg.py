# SPDX-License-Identifier: Apache-2.0
"""check_svg.py GRAPH.svg REPORT.json: the flame graph is well-formed XML, its frames lie within
their parents and beside each other, and it draws all that the report of the same trace holds."""
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
    # The memory of PostgreSQL's results is in blocks of the heap, too: those kinds are counted only.
    held_bytes = {id(site): 0 if site["kind"].startswith("pg.") else site["outstanding"]["bytes"]
                  for site in report["sites"]}
    count = sum(site["outstanding"]["count"] for site in report["sites"])
    for key, held in (("bytes", sum(held_bytes.values())), ("count", count)):
        if int(root.get("data-" + key)) != held:
            fail(f"{root.get('data-' + key)} {key} are drawn, {held} are reported")
    weights = sum(held_bytes[id(s)] or s["outstanding"]["count"] for s in report["sites"])
    if total != weights:
        fail(f"the root weighs {total}, the sites {weights}")
    if int(root.get("height")) < 18 * (max(rows) + 1):
        fail("the picture is not high enough for its rows")


main()
