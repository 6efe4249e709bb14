"""How lines fit a width: a hanging indent, words and ids whole, columns that wrap. Pure."""

import unicodedata
from collections.abc import Iterable, Sequence

GAP = 2  # between two columns
HANG = 4  # the indent of a row's further lines
LEAST = 24  # columns that text behind an indent needs, or the indent shrinks


def width_of(text: str) -> int:
    """The columns that a terminal gives it."""
    if text.isascii():
        return len(text)
    return sum(_cells(character) for character in text)


def _cells(character: str) -> int:
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def padded(text: str, width: int, *, right: bool = False) -> str:
    """`text` with spaces up to the width, in front of it or behind."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


def shortened(text: str, width: int) -> str:
    """At most so many columns, cut between words where there is a space; `...` says so."""
    if width_of(text) <= width:
        return text
    kept, room = "", width - 3
    for character in text:
        room -= _cells(character)
        if room < 0:
            break
        kept += character
    words = kept if text[len(kept)] == " " else kept.rpartition(" ")[0]
    return f"{(words or kept).rstrip()}..."


def hanging(line: str, width: int | None, indent: int) -> list[str]:
    """The line in lines of that width (None: as it is), all but the first indented.

    It is broken at spaces only: what has none, an id or an address, stays whole.
    """
    if width is None or width_of(line) <= width:
        return [line]
    lead = " " * (len(line) - len(line.lstrip(" ")))
    line = line[len(lead) :]
    indent, lead = _fitting(indent, width), " " * _fitting(len(lead), width)
    lines, now = [], lead
    for word in _words(line):
        text = word if now.strip() else word.lstrip(" ")
        if now.strip() and width_of(now) + width_of(text) > width:
            lines.append(now.rstrip(" "))
            now, text = " " * indent, word.lstrip(" ")
        now += text
    return [*lines, now]


def _fitting(indent: int, width: int) -> int:
    """The indent, or less where it would leave too little room."""
    return indent if width - indent >= LEAST else min(indent, HANG)


def _words(text: str) -> list[str]:
    """Its words, each with the spaces before it."""
    words, word = [], ""
    for character in text:
        if character == " " and word.strip(" "):
            words.append(word)
            word = ""
        word += character
    return [*words, word]


def laid_out(
    headings: Sequence[str], rows: Iterable[Sequence[str]], width: int | None
) -> list[str]:
    """A table's lines: columns as wide as they need to be, two spaces apart, numbers to the right.

    Where that is wider than `width`, each row goes on in further lines, at the same columns in
    every row, with a hanging indent.
    """
    cells = [list(row) for row in rows]
    right = [bool(cells) and all(row[n].isdecimal() for row in cells) for n in range(len(headings))]
    widths = [max(width_of(row[n]) for row in [headings, *cells]) for n in range(len(headings))]
    groups = _groups(widths, width)
    return [
        line
        for row in [list(headings), *cells]
        for number, group in enumerate(groups)
        for line in _row_line(row, group, widths, right, width, HANG if number else 0)
    ]


def _groups(widths: list[int], width: int | None) -> list[list[int]]:
    """Which columns stand in which line of a row."""
    groups: list[list[int]] = [[]]
    used = 0
    for number, own in enumerate(widths):
        if width is not None and groups[-1] and used + own > width:
            groups.append([])
            used = HANG
        groups[-1].append(number)
        used += own + GAP
    return groups


def _row_line(
    row: list[str],
    group: list[int],
    widths: list[int],
    right: list[bool],
    width: int | None,
    indent: int,
) -> list[str]:
    parts = (padded(row[n], widths[n], right=right[n]) for n in group)
    line = (" " * indent + (" " * GAP).join(parts)).rstrip()
    return hanging(line, width, indent + HANG) if line else []
