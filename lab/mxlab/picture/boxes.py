"""The boxes of a picture: what stands in each, and how large that makes it. Pure.

Lengths are pixels; text is measured by the columns that a terminal would give it.
"""

import unicodedata
from dataclasses import dataclass, field

from mxlab.picture.diagram import Diagram, MailBook, ShownHost
from mxlab.picture.text import condition, roles

LETTER, NAME_LETTER = 7.3, 9.1  # widths of a column: in a line of a box, in its first line
LINE, PAD = 17, 12  # height of a line; inside a box
LEAST_WIDE, MOST_COLUMNS, MOST_LINES = 120, 40, 9


@dataclass(slots=True)
class Box:
    """One box. `x`, `y`: its upper left corner; `lines`: what stands in it, the first one large;
    `whole`: all that is said of it, for who points at it."""

    name: str
    kind: str
    lines: list[str]
    whole: str
    down: bool = False
    wide: float = 0
    high: float = 0
    x: float = 0
    y: float = 0
    left: list[float] = field(default_factory=list)  # heights of free ends, from above
    right: list[float] = field(default_factory=list)

    @property
    def middle(self) -> float:
        return self.y + self.high / 2


def host_box(diagram: Diagram, place: ShownHost) -> Box:
    """The box of a host."""
    said = roles(diagram, place)
    first, others = said[:2], said[2:]  # of many domains no more before the addresses
    parts = [condition(place), *first, place.software, *place.addresses, *others, *place.notes]
    texts = [line for part in parts if part for line in folded(part)]
    if len(texts) > MOST_LINES:
        texts = [*texts[: MOST_LINES - 1], "\u2026"]
    whole = ", ".join((place.name, *(part for part in parts if part)))
    return sized(place.name, place.kind, [clipped(place.name), *texts], whole, place.is_down)


def domain_box(book: MailBook) -> Box:
    """The box of a domain's MX records."""
    return sized("", "domain", [clipped(book.domain), "MX records"], f"MX of {book.domain}")


def sized(name: str, kind: str, lines: list[str], whole: str, down: bool = False) -> Box:
    """A box with these lines, as large as they need it."""
    first, *others = lines
    columns = max((columns_of(line) for line in others), default=0)
    sides = (4 if kind == "domain" else 2) * PAD
    wide = max(LEAST_WIDE, columns * LETTER + sides, columns_of(first) * NAME_LETTER + sides)
    return Box(name, kind, lines, whole, down, wide, len(lines) * LINE + 1.2 * PAD)


def columns_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    return len(text) if text.isascii() else sum(map(_columns, text))


def _columns(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def clipped(text: str, most: int = MOST_COLUMNS) -> str:
    """At most so many columns; what is longer loses its middle: names differ at their ends."""
    if columns_of(text) <= most:
        return text
    head, tail = "", ""
    while columns_of(head + tail) < most - 2:
        if columns_of(head) <= columns_of(tail):
            head = text[: len(head) + 1]
        else:
            tail = text[len(text) - len(tail) - 1 :]
    return f"{head}\u2026{tail}"


def folded(text: str, most: int = MOST_COLUMNS) -> list[str]:
    """Its words in lines of so many columns."""
    lines: list[str] = []
    for word in text.split(" "):
        word = clipped(word, most)
        if lines and columns_of(f"{lines[-1]} {word}") <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
