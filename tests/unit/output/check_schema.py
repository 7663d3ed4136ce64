# SPDX-License-Identifier: Apache-2.0
"""check_schema.py SCHEMA REPORT: the report, or difference, fits the schema, and the schema is no rubber stamp."""
import copy
import json
import os.path
import sys

import jsonschema


def broken(report):
    """The report with one thing wrong, again and again."""
    for path, value in [
        (["version"], 2),
        (["tool", "name"], "other"),
        (["target"], None),
        (["period", "start"], "yesterday"),
        (["period", "seconds"], -1),
        (["mode", "duty_percent"], "all"),
        (["losses", "read_fault"], -1),
        (["all", "outstanding", "bytes"], 1.5),
        (["old", "period", "seconds"], -1),
        (["new", "losses", "read_fault"], -1),
        (["new", "all", "outstanding", "bytes"], 1.5),
    ]:
        if path[0] not in report:
            continue
        wrong = copy.deepcopy(report)
        place = wrong
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value
        yield ".".join(path), wrong
    for key in report:
        wrong = copy.deepcopy(report)
        del wrong[key]
        yield "without " + key, wrong
    for key in report["sites"][0] if report["sites"] else []:
        if key == "blocks":
            continue
        wrong = copy.deepcopy(report)
        wrong["sites"][0][key] = ["wrong"] if key == "stack" else []
        yield "sites." + key, wrong


def main():
    schema = json.load(open(sys.argv[1], encoding="utf-8"))
    report = json.load(open(sys.argv[2], encoding="utf-8"))
    jsonschema.Draft7Validator.check_schema(schema)
    # The schema of differences refers to that of reports, beside it.
    resolver = jsonschema.RefResolver("file://" + os.path.abspath(sys.argv[1]), schema)
    validator = jsonschema.Draft7Validator(schema, resolver=resolver)
    for error in validator.iter_errors(report):
        sys.exit(f"{sys.argv[2]}: {list(error.path)}: {error.message}")
    for what, wrong in broken(report):
        if validator.is_valid(wrong):
            sys.exit(f"the schema lets this through: {what}")


main()
