"""A lab as an SVG picture: one file, no script, nothing fetched, readable in light and dark. Pure.

What is drawn is also said: in its title, in a description that is the picture in plain text, and
for each host in a title of its own. Colour says nothing that words and strokes do not.
"""

from html import escape

from mxlab.picture.boxes import LETTER, LINE, PAD, Box, columns_of
from mxlab.picture.diagram import Diagram
from mxlab.picture.layout import LEGEND, LaidOut, Line, laid_out
from mxlab.picture.text import text_picture
from mxlab.visible import visible

TONES = (  # one for each domain, in turn: in light, in dark
    ("#0b5fb4", "#79b8ff"), ("#a03c00", "#ffab70"), ("#6b3fa0", "#c9a5ff"),
    ("#00695c", "#5fd0bd"), ("#9c1c5b", "#ff9ac8"), ("#5c5300", "#d8c95c"),
)  # fmt: skip
LIGHT = {
    "ground": "#ffffff", "box": "#f6f8fa", "edge": "#57606a", "ink": "#1f2328", "soft": "#4b535c",
    "line": "#57606a", "down": "#b42318",
}  # fmt: skip
DARK = {
    "ground": "#0d1117", "box": "#161b22", "edge": "#8b949e", "ink": "#f0f3f6", "soft": "#b6bfc9",
    "line": "#9aa4af", "down": "#ff8a80",
}  # fmt: skip
FONT = "ui-monospace,'DejaVu Sans Mono','Liberation Mono',Menlo,Consolas,monospace"
MARKS = (*(f"t{n}" for n in range(len(TONES))), "l")


def svg(diagram: Diagram) -> str:
    """The picture as a document of its own."""
    drawn = laid_out(diagram)
    said = "\n".join(visible(line.text) for line in text_picture(diagram))
    wide, high = _n(drawn.wide), _n(drawn.high)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" '
        f'height="{high}" role="img" aria-labelledby="lab-title lab-desc">',
        f'<title id="lab-title">{escape(diagram.title)}</title>',
        f'<desc id="lab-desc">{escape(said)}</desc>',
        f"<style>{_style()}</style>",
        "<defs>",
        *(_marker(name) for name in MARKS),
        "</defs>",
        f'<rect class="ground" width="{wide}" height="{high}"/>',
        *_frame(drawn),
        *(_line(line) for line in drawn.lines),
        *(_box(box, drawn) for box in drawn.boxes),
        *(_text_of(line) for line in drawn.lines if line.text),
        *_legend(drawn),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _style() -> str:
    fixed = (
        f"text{{font:12px {FONT}}}.name{{font-size:15px;font-weight:600}}"
        ".way{fill:none;stroke-width:1.6}.forward{stroke-dasharray:7 4}.copy,.ask"
        "{stroke-dasharray:2 4}.shows{stroke-dasharray:1 5;stroke-linecap:round}"
        ".smarthost{stroke-width:3}.box{stroke-width:1.3}.domain .box{stroke-width:2}"
        ".down .box{stroke-width:2.4;stroke-dasharray:6 4}.rank{font-weight:600}"
        ".frame{stroke-dasharray:4 4}"
    )
    return f"{fixed}{_colours(LIGHT, 0)}@media(prefers-color-scheme:dark){{{_colours(DARK, 1)}}}"


def _colours(of: dict[str, str], which: int) -> str:
    rules = [
        f".ground{{fill:{of['ground']}}}.box{{fill:{of['box']};stroke:{of['edge']}}}",
        f"text{{fill:{of['soft']}}}.name{{fill:{of['ink']}}}.way{{stroke:{of['line']}}}",
        f".frame{{fill:none;stroke:{of['edge']}}}.m-l{{fill:{of['line']}}}",
        f".down .box{{stroke:{of['down']}}}.down .name{{fill:{of['down']}}}",
        f".behind{{fill:{of['ground']}}}",
    ]
    for number, tones in enumerate(TONES):
        tone = tones[which]
        rules.append(f".way.t{number}{{stroke:{tone}}}.m-t{number},text.t{number}{{fill:{tone}}}")
        rules.append(f".t{number} .box{{stroke:{tone}}}")
    return "".join(rules)


def _marker(name: str) -> str:
    return (
        f'<marker id="a-{name}" viewBox="0 0 8 8" refX="6" refY="4" markerWidth="9" '
        f'markerHeight="9" markerUnits="userSpaceOnUse" orient="auto">'
        f'<path class="m-{name}" d="M0 0L8 4L0 8z"/></marker>'
    )


def _tone(line: Line) -> str:
    return f"t{line.tone % len(TONES)}" if line.kind in ("mx", "forward") else "l"


def _line(line: Line) -> str:
    tone = _tone(line)
    end = f' marker-end="url(#a-{tone})"' if line.arrow else ""
    return f'<path class="way {line.kind} {tone}" d="{line.path}"{end}/>'


def _text_of(line: Line) -> str:
    x, y = line.at
    if line.kind == "ask":
        return f'<text x="{_n(x)}" y="{_n(y)}">{escape(line.text)}</text>'
    wide = columns_of(line.text) * LETTER + 6
    return (
        f'<rect class="behind" x="{_n(x - 3)}" y="{_n(y - 8)}" width="{_n(wide)}" height="16"/>'
        f'<text class="rank {_tone(line)}" x="{_n(x)}" y="{_n(y + 4)}">{escape(line.text)}</text>'
    )


def _box(box: Box, drawn: LaidOut) -> str:
    domains = [one for one in drawn.boxes if one.kind == "domain"]
    number = next((n for n, one in enumerate(domains) if one is box), None)
    tone = "" if number is None else f" t{number % len(TONES)}"
    curve, left, first = (6.0, PAD, PAD + 7) if number is None else (box.high / 2, 2 * PAD, PAD + 7)
    texts = "".join(
        f'<text{" class=" + chr(34) + "name" + chr(34) if n == 0 else ""} x="{left}" '
        f'y="{_n(first + n * LINE)}">{escape(visible(text))}</text>'
        for n, text in enumerate(box.lines)
    )
    return (
        f'<g class="{box.kind}{tone}{" down" if box.down else ""}" '
        f'transform="translate({_n(box.x)} {_n(box.y)})"><title>{escape(visible(box.whole))}'
        f'</title><rect class="box" width="{_n(box.wide)}" height="{_n(box.high)}" '
        f'rx="{_n(curve)}"/>{texts}</g>'
    )


def _frame(drawn: LaidOut) -> list[str]:
    if drawn.frame is None:
        return []
    x, y, wide, high, caption = drawn.frame
    return [
        f'<rect class="frame" x="{_n(x)}" y="{_n(y)}" width="{_n(wide)}" height="{_n(high)}" '
        f'rx="8"/><text x="{_n(x + PAD)}" y="{_n(y + 20)}">{escape(caption)}</text>'
    ]


def _legend(drawn: LaidOut) -> list[str]:
    lines = []
    for number, (kind, text) in enumerate(drawn.legend):
        y = drawn.legend_top + number * LEGEND + 8
        tone = "t0" if kind in ("mx", "forward") else "l"
        end = "" if kind == "shows" else f' marker-end="url(#a-{tone})"'
        lines.append(
            f'<path class="way {kind} {tone}" d="M24 {_n(y)}H66"{end}/>'
            f'<text x="78" y="{_n(y + 4)}">{escape(text)}</text>'
        )
    return lines


def _n(number: float) -> str:
    """A number as short as it can be, to a tenth of a pixel."""
    return f"{round(number, 1):g}"
