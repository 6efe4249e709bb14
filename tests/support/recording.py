"""The README's pictures: the lab, drawn by `mxlab graph`, and its tour, recorded.

    python -m tests.support.recording docs/pictures

The tour's commands are taken from the README and typed on a lab in the simulation, so that each
byte of a recording is the same wherever it is made, and a test can compare it. Which of them no
simulation can be asked for (`up`, `shell`, `down`) are left out.
"""

import asyncio
import json
import re
import sys
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import NamedTuple

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SUBNET, SimBackend, SimLab, simulate
from mxlab.cli.hands import CAN_TYPE, type_command
from mxlab.cli.layout import hanging
from mxlab.model.topology import Topology
from mxlab.picture.diagram import diagram_of, planned
from mxlab.picture.svg import svg
from mxlab.visible import visible

ROOT = Path(__file__).parents[2]
COLUMNS, ROWS = 120, 30
PROMPT = "$ "
KEY, LINE, THINKING = 0.04, 0.06, 1.6  # seconds that a key, a line of output, a reader take
LAB_PAUSE = 1.0  # seconds of lab time between two commands
WIDE, HIGH, EDGE = 7.2, 16.0, 14.0  # a column, a row, around them (pixels)


class Said(NamedTuple):
    """What the screen shows more, so many seconds after the beginning."""

    at: float
    text: str


def tour(readme: str) -> list[str]:
    """The commands of the README's tour that can be typed on a lab at hand."""
    block = readme.partition("## The tour\n")[2].partition("```console\n")[2].partition("```")[0]
    lines = [line.partition("#")[0].strip() for line in re.findall(r"^\$ (.*)$", block, re.M)]
    return [line for line in lines if line.split()[1] in CAN_TYPE]


def played(commands: Sequence[str]) -> list[tuple[str, str]]:
    """Each command, and what it said, on one lab in the simulation. Raises AssertionError where one
    fails."""

    async def main() -> list[tuple[str, str]]:
        order = Order("lab", "run", Topology())
        async with SimBackend().deploy(order, lambda _: None) as lab:
            return [await _typed(lab, line) for line in commands]

    return simulate(main)


async def _typed(lab: SimLab, line: str) -> tuple[str, str]:
    typed = await type_command(lab, line)
    assert typed.exit_code == 0, f"{line}: {typed.output}"
    await asyncio.sleep(LAB_PAUSE)
    return line, typed.output


def timed(story: Sequence[tuple[str, str]]) -> list[Said]:
    """The story as it appears on a screen: keys, then lines, then time to read."""
    said, at = [], 0.5
    for command, output in story:
        said.append(Said(at, PROMPT))
        for key in command:
            at += KEY
            said.append(Said(at, key))
        at += KEY
        said.append(Said(at, "\r\n"))
        for line in broken(output):
            at += LINE
            said.append(Said(at, f"{line}\r\n"))
        at += THINKING
    return [*said, Said(at, PROMPT)]


def broken(output: str) -> list[str]:
    """The lines as a terminal of our width shows them."""
    lines = (line.expandtabs(8) for line in output.splitlines())
    return [piece for line in lines for piece in hanging(line, COLUMNS, 4)]


def cast(said: Sequence[Said]) -> str:
    """The recording as asciicast, version 2: a header, then a line for each event."""
    head = {"version": 2, "width": COLUMNS, "height": ROWS, "title": "mxlab: the tour"}
    events = ([round(one.at, 3), "o", one.text] for one in said)
    return "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in (head, *events))


class Row(NamedTuple):
    """One row of the screen, and when it is there."""

    at: float
    text: str


def rows(said: Sequence[Said]) -> list[Row]:
    """The rows of a recording, all of them below each other."""
    found: list[Row] = []
    text = ""
    for one in said:
        text += one.text
        while "\r\n" in text:
            line, _, text = text.partition("\r\n")
            found.append(Row(one.at, line))
    return [*found, Row(said[-1].at, text)]


def picture(said: Sequence[Said]) -> str:
    """The recording as an animated SVG: it plays once, and stays at its end. Where nothing moves
    (by the reader's wish, or on paper) it is the last screen."""
    lines = rows(said)
    wide, high = COLUMNS * WIDE + 2 * EDGE, ROWS * HIGH + 2 * EDGE
    title = "mxlab: the tour, in a terminal"
    texts = "\n".join(visible(line.text) for line in lines)
    return "\n".join((
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide:g} {high:g}" '
        f'width="{wide:g}" height="{high:g}" role="img" aria-labelledby="tour-title tour-desc">',
        f'<title id="tour-title">{title}</title><desc id="tour-desc">{escape(texts)}</desc>',
        f"<style>{_style(lines)}</style>",
        f'<rect width="{wide:g}" height="{high:g}" rx="8" fill="#0d1117"/>',
        f'<svg x="{EDGE:g}" y="{EDGE:g}" width="{COLUMNS * WIDE:g}" height="{ROWS * HIGH:g}">',
        '<g class="all">',
        *(_drawn(number, line) for number, line in enumerate(lines)),
        "</g></svg></svg>\n",
    ))  # fmt: skip


def _style(lines: Sequence[Row]) -> str:
    whole = lines[-1].at
    moves = "".join(
        f"{100 * at / whole:.3f}%{{transform:translateY({-above * HIGH:g}px)}}"
        for at, above in _scrolled(lines)
    )
    last = max(0, len(lines) - ROWS) * HIGH
    return (
        "text{font:12px ui-monospace,'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace;"
        "fill:#d5dbe2;white-space:pre}.in{fill:#7ee787;font-weight:600}"
        f".all{{transform:translateY({-last:g}px);animation:up {whole:g}s step-end}}"
        f"@keyframes up{{{moves}}}@keyframes come{{from{{visibility:hidden}}"
        "to{visibility:hidden}}text{animation:come .01s backwards}"
        "@media(prefers-reduced-motion:reduce){text,.all{animation:none!important}}"
    )


def _scrolled(lines: Sequence[Row]) -> Iterator[tuple[float, int]]:
    """How many rows have left the screen above, and since when."""
    yield 0, 0
    for number, line in enumerate(lines[ROWS:], 1):
        if number == len(lines) - ROWS or lines[ROWS + number].at > line.at:
            yield line.at, number


def _drawn(number: int, line: Row) -> str:
    y = (number + 0.75) * HIGH
    mark = ' class="in"' if line.text.startswith(PROMPT) else ""
    text = escape(visible(line.text))
    long = f' textLength="{len(line.text) * WIDE:g}"' if line.text.strip() else ""
    return f'<text{mark} y="{y:g}"{long} style="animation-delay:{line.at:.2f}s">{text}</text>'


def pictures() -> dict[str, str]:
    """Each file, and what is in it."""
    lab = diagram_of(Topology(), "mxlab: what `mxlab up` starts", planned(Topology(), SUBNET))
    said = timed(played(tour((ROOT / "README.md").read_text(encoding="utf-8"))))
    return {"lab.svg": svg(lab), "tour.cast": cast(said), "tour.svg": picture(said)}


if __name__ == "__main__":
    for name, content in pictures().items():
        (Path(sys.argv[1]) / name).write_text(content, encoding="utf-8")
