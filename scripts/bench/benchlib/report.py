# SPDX-License-Identifier: Apache-2.0
"""Tables: for a terminal, for Markdown, and as TSV; and the JSON that goes with them."""

import json
import math


class Table:
    """Rows of text; a column is aligned right when its title ends with a blank."""

    def __init__(self, name, title, columns):
        self.name = name
        self.title = title
        self.columns = columns
        self.rows = []

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def text(self):
        lines = [[column.strip() for column in self.columns], *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.columns))]
        out = [self.title]
        for line in lines:
            cells = [cell.rjust(width) if column.endswith(" ") else cell.ljust(width)
                     for cell, width, column in zip(line, widths, self.columns)]
            out.append("  ".join(cells).rstrip())
        return "\n".join(out) + "\n"

    def markdown(self):
        out = [f"**{self.title}**", "",
               "| " + " | ".join(column.strip() for column in self.columns) + " |",
               "|" + "|".join("---:" if column.endswith(" ") else "---"
                              for column in self.columns) + "|"]
        out += ["| " + " | ".join(row) + " |" for row in self.rows]
        return "\n".join(out) + "\n"

    def tsv(self):
        return "".join("\t".join(line) + "\n"
                       for line in [[column.strip() for column in self.columns], *self.rows])


class Results:
    """What one benchmark found: tables, remarks, and every single figure."""

    def __init__(self, name, machine, quick):
        self.name = name
        self.data = {"benchmark": name, "machine": machine, "quick": quick, "figures": {}}
        self.tables = []
        self.remarks = []
        self.plots = {}

    def show(self, table):
        self.tables.append(table)
        print(table.text(), flush=True)

    def remark(self, text):
        """A line below the tables: what was reached, what was left out and why."""
        self.remarks.append(text)
        print(text, flush=True)

    def reach(self, what, value, limit, unit="", at_least=False):
        """Says whether a goal was reached."""
        if value is None or math.isnan(value):
            self.remark(f"{what}: not measured")
            return
        sign, good = ("≥", value >= limit) if at_least else ("≤", value <= limit)
        self.remark(f"{what}: {value:.3g}{unit} (goal {sign} {limit:g}{unit}: "
                    f"{'reached' if good else 'MISSED'})")

    def write(self, folder):
        if not folder:
            return
        folder.mkdir(parents=True, exist_ok=True)
        self.data["remarks"] = self.remarks
        (folder / f"{self.name}.json").write_text(
            json.dumps(_finite(self.data), indent=1, ensure_ascii=False) + "\n")
        for table in self.tables:
            (folder / f"{self.name}-{table.name}.tsv").write_text(table.tsv())
        for name, svg in self.plots.items():
            (folder / f"{name}.svg").write_text(svg)
        parts = [table.markdown() for table in self.tables]
        parts += [f"- {remark}" for remark in self.remarks]
        (folder / f"{self.name}.md").write_text("\n".join(parts) + "\n")


def _finite(value):
    """JSON has no NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value
