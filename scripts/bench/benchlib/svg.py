# SPDX-License-Identifier: Apache-2.0
"""Line plots as SVG, light and dark, without a library."""

import html
import math

WIDTH, HEIGHT = 700, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 192, 50, 48
COLOURS = ("#d6249f", "#2f7de1", "#2e9d5b", "#c77700")

# The colours of leaktrace's flame graph.
_STYLE = """
text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #16181d }
.title { font-size: 15px; font-weight: bold }
.dim { fill: #5a6270 }
.grid { stroke: #dfe3e8 } .axis { stroke: #5a6270 }
.paper { fill: #ffffff }
@media (prefers-color-scheme: dark) {
  text { fill: #eceff4 } .dim { fill: #a3acba }
  .grid { stroke: #3a404a } .axis { stroke: #a3acba } .paper { fill: #14161a }
}
"""


def _ticks(most):
    """Round numbers from 0 up to at least `most`."""
    step = 10 ** math.floor(math.log10(most / 4))
    for times in (1, 2, 5, 10):
        if step * times * 5 >= most:
            step *= times
            break
    count = math.ceil(most / step)
    return [i * step for i in range(count + 1)]


def _short(number):
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if number >= unit:
            return f"{number / unit:g}{name}"
    return f"{number:g}"


def lines(title, x_title, y_title, series):
    """`series`: {name: [(x, y), …]}; x is drawn on a logarithmic axis, y from 0."""
    points = [point for values in series.values() for point in values]
    xs = sorted({x for x, _ in points})
    low, high = math.log10(xs[0]), math.log10(max(xs[-1], xs[0] * 1.01))
    ticks = _ticks(max(max(y for _, y in points), 1e-9))

    def across(x):
        return LEFT + (math.log10(x) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def up(y):
        return HEIGHT - BOTTOM - y / ticks[-1] * (HEIGHT - TOP - BOTTOM)

    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
           f'role="img" aria-label="{html.escape(title)}">', f"<style>{_STYLE}</style>",
           f'<rect class="paper" width="{WIDTH}" height="{HEIGHT}"/>',
           f'<text class="title" x="{LEFT}" y="20">{html.escape(title)}</text>',
           f'<text class="dim" x="{LEFT}" y="36">{html.escape(y_title)}</text>']
    for tick in ticks:
        out.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" '
                   f'y1="{up(tick):.1f}" y2="{up(tick):.1f}"/>')
        out.append(f'<text class="dim" x="{LEFT - 8}" y="{up(tick) + 4:.1f}" text-anchor="end">'
                   f'{_short(tick)}</text>')
    for x in xs:
        out.append(f'<text x="{across(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
                   f'{_short(x)}</text>')
    out.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{up(0):.1f}" '
               f'y2="{up(0):.1f}"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">'
               f'{html.escape(x_title)}</text>')
    for number, (name, values) in enumerate(series.items()):
        out += _curve(name, sorted(values), COLOURS[number % len(COLOURS)], across, up, number)
    return "\n".join([*out, "</svg>"]) + "\n"


def _curve(name, values, colour, across, up, number):
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in values)
    out = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    for x, y in values:
        out.append(f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3" fill="{colour}">'
                   f"<title>{html.escape(name)}: {x:g}, {y:.4g}</title></circle>")
    out.append(f'<line x1="{WIDTH - RIGHT + 10}" x2="{WIDTH - RIGHT + 26}" y1="{TOP + number * 18}" '
               f'y2="{TOP + number * 18}" stroke="{colour}" stroke-width="2"/>')
    out.append(f'<text x="{WIDTH - RIGHT + 32}" y="{TOP + number * 18 + 4}">{html.escape(name)}</text>')
    return out
