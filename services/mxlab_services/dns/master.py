"""Master files (RFC 1035 §5) as words in their places, before they mean anything. Pure.

Comments, parentheses, quoted strings and blank owners are told apart, `$GENERATE` (BIND's) is
written out. What cannot be read is a mistake with its place, and reading goes on behind it.
"""

import re
from collections.abc import Iterator

from msgspec import Struct
from msgspec.structs import replace

from mxlab_services.errors import ZoneError, ZoneMistake

MOST_GENERATED = 65536  # records from one `$GENERATE`


class Token(Struct, frozen=True):
    """One word. `line` and `column` count from 1; escapes stand as they were written."""

    text: str
    line: int
    column: int
    quoted: bool = False

    def wrong(self, text: str) -> ZoneMistake:
        """A mistake at this word."""
        return ZoneMistake(self.line, self.column, text)


class Entry(Struct, frozen=True):
    """The words of one record or directive. `blank`: it begins with white space, so its owner is
    that of the entry before."""

    blank: bool
    tokens: list[Token]


_PIECE = re.compile(
    r"""(?P<space>[ \t\r\f]+) | (?P<comment>;[^\n]*) | (?P<newline>\n) | (?P<paren>[()])
      | "(?P<string>(?:\\[^\n]|[^"\\\n])*)" | (?P<word>(?:\\[^\n]|[^\s;()"\\])+) """,
    re.VERBOSE,
)
_RANGE = re.compile(r"(\d{1,9})-(\d{1,9})(?:/(\d{1,9}))?")
_COUNTER = re.compile(
    r"(?P<kept>\\.|\$\$)|\$(?:\{(?P<offset>[+-]?\d{1,9})(?:,(?P<width>\d{1,3})(?:,(?P<base>[doxX]))?)?\})?"
)


def read_entries(text: str, mistakes: list[ZoneMistake]) -> Iterator[Entry]:
    """The entries of a master file, in order; what cannot be read is added to `mistakes`."""
    text = text.removeprefix("\ufeff")
    line, began, position = 1, 0, 0
    opened: list[ZoneMistake] = []
    entry = Entry(text[:1] in (" ", "\t"), [])
    while position < len(text):
        piece = _PIECE.match(text, position)
        column = position - began + 1
        if piece is None:
            mistakes.append(ZoneMistake(line, column, f"cannot read {_rest(text, position)!r}"))
            end = text.find("\n", position)
            position = end if end >= 0 else len(text)
            entry.tokens.clear()
            continue
        position = piece.end()
        match piece.lastgroup:
            case "string" | "word":
                quoted = piece.lastgroup == "string"
                entry.tokens.append(Token(piece[piece.lastgroup], line, column, quoted))
            case "paren" if piece[0] == "(":
                opened.append(ZoneMistake(line, column, "a parenthesis is never closed"))
            case "paren" if opened:
                opened.pop()
            case "paren":
                mistakes.append(ZoneMistake(line, column, "parentheses do not match"))
            case "newline":
                line, began = line + 1, position
                if not opened:
                    if entry.tokens:
                        yield entry
                    entry = Entry(text[position : position + 1] in (" ", "\t"), [])
            case _:  # white space and comments
                pass
    mistakes += opened[:1]
    if entry.tokens and not opened:
        yield entry


def _rest(text: str, position: int) -> str:
    return text[position : position + 20].partition("\n")[0]


def generated(entry: Entry) -> Iterator[Entry]:
    """The entries that `$GENERATE START-STOP[/STEP] OWNER ... DATA` stands for.

    `$` is the number, `${OFFSET,WIDTH,BASE}` the number in another form (base d, o, x or X); `$$`
    and `\\$` are a dollar. Raises ZoneError.
    """
    words = entry.tokens[1:]
    match = _RANGE.fullmatch(words[0].text) if words else None
    if match is None or len(words) < 4:
        raise ZoneError("$GENERATE takes START-STOP[/STEP], an owner, a type and its data")
    start, stop, step = int(match[1]), int(match[2]), int(match[3] or 1)
    if stop < start or not step:
        raise ZoneError(f"$GENERATE: {words[0].text} is no range that goes up")
    if (stop - start) // step >= MOST_GENERATED:
        raise ZoneError(f"$GENERATE: more than {MOST_GENERATED} records")
    for number in range(start, stop + 1, step):
        yield Entry(
            blank=False,
            tokens=[replace(word, text=_numbered(word.text, number)) for word in words[1:]],
        )


def _numbered(text: str, number: int) -> str:
    def written(found: re.Match[str]) -> str:
        if found["kept"]:
            return "\\$" if found["kept"] == "$$" else found["kept"]
        value = number + int(found["offset"] or 0)
        if value < 0:
            raise ZoneError(f"$GENERATE: {found[0]} is below zero at {number}")
        return f"{value:0{int(found['width'] or 0)}{found['base'] or 'd'}}"

    return _COUNTER.sub(written, text)
