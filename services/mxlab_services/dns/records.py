"""Zone text (RFC 1035 §5) to records and back. Pure; every error names its line.

`$ORIGIN`, `$TTL`, comments, parentheses, `@`, blank owners, quoted strings, and TTL and class in
either order are understood; `$INCLUDE` is refused. Types that the lab has no use of its own for are
described in `rdata`; any type may be written in RFC 3597's form.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import Any

from dnslib import AAAA, CNAME, MX, NS, PTR, RD, RDMAP, SOA, TXT, A
from dnslib.label import DNSBuffer, DNSLabel
from msgspec import Struct

from mxlab_services.dns.names import Name, fold, name_text, parse_name, unescape
from mxlab_services.dns.rdata import (
    FIELDS,
    Data,
    number,
    parse_data,
    parse_generic,
    string_text,
    wire_of,
    wire_text,
    zone_type,
)
from mxlab_services.errors import ZoneError

MAX_TTL = 2**31 - 1  # seconds (RFC 2181 §8)
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TTL = re.compile(r"(?:\d+[smhdw])+|\d+", re.IGNORECASE)


class Record(Struct, frozen=True):
    """One resource record of class IN. `owner` is in lower case, `ttl` in lab seconds."""

    owner: Name
    type: str
    ttl: int
    data: Any  # a dnslib.RD

    def __str__(self) -> str:
        return f"{name_text(self.owner)} {self.ttl} IN {self.type} {data_text(self.data)}"

    def key(self) -> tuple[Name, str, str]:
        """What the record says, whatever its TTL: equal for equal records (RFC 2181 §5)."""
        if isinstance(self.data, Data):
            return self.owner, self.type, self.data.key()
        text = data_text(self.data)
        return self.owner, self.type, text if self.type == "TXT" else text.lower()


class Pattern(Struct, frozen=True):
    """What to remove: a whole RRset (`record` is None) or one record."""

    owner: Name
    type: str
    record: Record | None


class _Token(Struct, frozen=True):
    text: str
    quoted: bool = False


class _Entry(Struct, frozen=True):
    line: int
    blank: bool  # it begins with white space: the owner is that of the entry before
    tokens: list[_Token]


_PIECE = re.compile(
    r"""(?P<space>[ \t\r\f]+) | (?P<comment>;[^\n]*) | (?P<newline>\n) | (?P<paren>[()])
      | "(?P<string>(?:\\[^\n]|[^"\\\n])*)" | (?P<word>(?:\\[^\n]|[^\s;()"\\])+) """,
    re.VERBOSE,
)


def _entries(text: str) -> Iterator[_Entry]:
    line, depth, opened = 1, 0, 0
    entry = _Entry(1, text[:1] in (" ", "\t"), [])
    position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            raise ZoneError(f"line {line}: cannot read {text[position : position + 20]!r}")
        position = piece.end()
        match piece.lastgroup:
            case "string" | "word":
                quoted = piece.lastgroup == "string"
                entry.tokens.append(_Token(piece[piece.lastgroup], quoted))
            case "paren":
                depth += 1 if piece[0] == "(" else -1
                opened = line if piece[0] == "(" else opened
                if depth not in (0, 1):
                    raise ZoneError(f"line {line}: parentheses do not match")
            case "newline":
                line += 1
                if depth == 0:
                    if entry.tokens:
                        yield entry
                    entry = _Entry(line, text[position : position + 1] in (" ", "\t"), [])
            case _:  # white space and comments
                pass
    if depth:
        raise ZoneError(f"line {opened}: a parenthesis is never closed")
    if entry.tokens:
        yield entry


def parse_records(text: str, origin: Name, ttl: int | None = None) -> list[Record]:
    """The records in zone text. `ttl` serves where none is stated. Raises ZoneError.

    Without one, it is that of the record before (RFC 1035 §5.1), then the SOA's MINIMUM.
    """
    owner: Name | None = None
    records: list[Record] = []
    for entry in _entries(text):
        try:
            first = entry.tokens[0]
            if first.text.startswith("$") and not first.quoted and not entry.blank:
                origin, ttl = _directive(entry.tokens, origin, ttl)
                continue
            tokens = entry.tokens if entry.blank else entry.tokens[1:]
            if not entry.blank:
                owner = parse_name(first.text, origin)
            if owner is None:
                raise ZoneError("the first record has no owner name")
            records.append(_record(owner, tokens, origin, ttl, records))
        except ZoneError as error:
            raise ZoneError(f"line {entry.line}: {error}") from error
    return records


def parse_pattern(text: str, origin: Name) -> Pattern:
    """What one line of zone text, possibly without data, says to remove. Raises ZoneError."""
    entries = list(_entries(text))
    if len(entries) != 1 or entries[0].blank:
        raise ZoneError(f"{text!r} is not one record: write `name type [data]`")
    tokens = entries[0].tokens
    owner = fold(parse_name(tokens[0].text, origin))
    _, kind, rest = _head(tokens[1:])
    if rest:
        (record,) = parse_records(text, origin, 0)
        return Pattern(owner, kind, record)
    return Pattern(owner, kind, None)


def parse_ttl(text: str) -> int:
    """Seconds in `3600` or `1h30m`. Raises ZoneError."""
    if not _TTL.fullmatch(text) or not text.isascii():
        raise ZoneError(f"{text!r} is no TTL")
    parts = re.findall(r"(\d+)([a-z]?)", text.lower())
    seconds = sum(int(number[:12]) * _UNITS[unit] for number, unit in parts)
    if seconds > MAX_TTL:
        raise ZoneError(f"TTL {text[:20]} is above {MAX_TTL} seconds")
    return seconds


def _directive(tokens: list[_Token], origin: Name, ttl: int | None) -> tuple[Name, int | None]:
    match [token.text for token in tokens]:
        case [name, value] if name.upper() == "$ORIGIN":
            return parse_name(value, origin), ttl
        case [name, value] if name.upper() == "$TTL":
            return origin, parse_ttl(value)
        case _:
            raise ZoneError(f"{tokens[0].text} is not understood: use $ORIGIN NAME or $TTL SECONDS")


def _head(tokens: list[_Token]) -> tuple[int | None, str, list[_Token]]:
    """TTL and class, in either order, then the type; and the tokens of the data."""
    ttl: int | None = None
    for index, token in enumerate(tokens):
        word = token.text.upper()
        if token.quoted:
            break
        if word == "IN":
            continue
        if word in ("CH", "HS", "CS"):
            raise ZoneError(f"class {word}: only IN is served")
        if kind := zone_type(word):
            return ttl, kind, tokens[index + 1 :]
        if not word[:1].isdigit():
            known = ", ".join((*_DATA, *FIELDS))
            raise ZoneError(
                f"record type {token.text!r} is not one of {known}, or TYPE and a number (RFC 3597)"
            )
        ttl = parse_ttl(token.text)
    raise ZoneError("the record type is missing")


def _record(
    owner: Name, tokens: list[_Token], origin: Name, ttl: int | None, before: list[Record]
) -> Record:
    own, kind, rest = _head(tokens)
    data = _data(kind, rest, origin)
    if own is None:
        own = ttl
    if own is None and before:
        own = before[-1].ttl
    if own is None and isinstance(data, SOA):
        own = data.times[4]
    if own is None:
        raise ZoneError("no TTL: write one, or $TTL above it")
    return Record(fold(owner), kind, own, data)


def _data(kind: str, tokens: list[_Token], origin: Name) -> RD:
    words = [token.text for token in tokens]
    generic = tokens[:1] == [_Token("\\#")]
    fields = () if generic else FIELDS.get(kind, ("strings",) if kind == "TXT" else ())
    if not _QUOTABLE.intersection(fields) and any(token.quoted for token in tokens):
        raise ZoneError(f"{kind}: a quoted string where none belongs")
    if generic:
        octets = parse_generic(kind, words[1:])
        if kind in _DATA:  # a known type is treated as such, however it is written (RFC 3597 §5)
            known: Any = RDMAP[kind]
            data: RD = known.parse(DNSBuffer(octets), len(octets))
            return data
        return Data(kind, octets)
    make = _DATA.get(kind)
    return make(words, origin) if make is not None else Data(kind, parse_data(kind, words, origin))


def _label(text: str, origin: Name) -> DNSLabel:
    return DNSLabel(parse_name(text, origin))


def _fields(kind: str, words: list[str], count: int) -> list[str]:
    if len(words) != count:
        raise ZoneError(f"{kind} takes {count} field{'s'[: count != 1]}, not {len(words)}")
    return words


def _a(words: list[str], _: Name) -> RD:
    try:
        return A(str(ipaddress.IPv4Address(_fields("A", words, 1)[0])))
    except ValueError as error:
        raise ZoneError(f"A: {error}") from error


def _aaaa(words: list[str], _: Name) -> RD:
    try:
        packed = ipaddress.IPv6Address(_fields("AAAA", words, 1)[0]).packed
    except ValueError as error:
        raise ZoneError(f"AAAA: {error}") from error
    return AAAA(tuple(packed))


def _mx(words: list[str], origin: Name) -> RD:
    preference, exchange = _fields("MX", words, 2)
    return MX(_label(exchange, origin), number(preference, 65535))


def _soa(words: list[str], origin: Name) -> RD:
    mname, rname, serial, *times = _fields("SOA", words, 7)
    numbers = (number(serial, 2**32 - 1), *(parse_ttl(word) for word in times))
    return SOA(_label(mname, origin), _label(rname, origin), numbers)


def _txt(words: list[str], _: Name) -> RD:
    strings = [unescape(word) for word in words]
    if not strings or any(len(string) > 255 for string in strings):
        raise ZoneError("TXT takes one or more strings of at most 255 octets")
    if sum(len(string) + 1 for string in strings) > 65000:
        raise ZoneError("TXT: more data than a message holds")
    return TXT(strings)


def _named(kind: str, make: Callable[[DNSLabel], RD]) -> Callable[[list[str], Name], RD]:
    return lambda words, origin: make(_label(_fields(kind, words, 1)[0], origin))


_QUOTABLE = frozenset(("string", "strings", "rest", "word"))
_DATA: dict[str, Callable[[list[str], Name], RD]] = {
    "SOA": _soa,
    "NS": _named("NS", NS),
    "MX": _mx,
    "A": _a,
    "AAAA": _aaaa,
    "CNAME": _named("CNAME", CNAME),
    "TXT": _txt,
    "PTR": _named("PTR", PTR),
}


def data_text(data: Any) -> str:
    """The data as zone text writes it; unknown types in RFC 3597's form."""
    match data:
        case SOA():
            times = " ".join(str(number) for number in data.times)
            return f"{name_text(data.mname.label)} {name_text(data.rname.label)} {times}"
        case MX():
            return f"{data.preference} {name_text(data.label.label)}"
        case CNAME():  # NS and PTR among them
            return name_text(data.label.label)
        case A():
            return ".".join(str(octet) for octet in data.data)
        case AAAA():
            return str(ipaddress.IPv6Address(bytes(data.data)))
        case TXT():
            return " ".join(string_text(bytes(string)) for string in data.data)
        case _:
            return str(data) if isinstance(data, Data) else wire_text("", wire_of(data))


def answer_text(kind: str, data: Any) -> str:
    """`data_text` of what a message brought, where dnslib has a class for many types."""
    if isinstance(data, SOA | MX | CNAME | A | AAAA | TXT):
        return data_text(data)
    return wire_text(kind, wire_of(data))
