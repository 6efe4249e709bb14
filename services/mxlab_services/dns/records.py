"""Zone text (RFC 1035 §5) to records and back. Pure; every error names its line and column.

`$ORIGIN`, `$TTL`, `$GENERATE`, comments, parentheses, `@`, blank owners, quoted strings, and TTL
and class in either order are understood; `$INCLUDE` is refused. Any type may be written in RFC
3597's form.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Callable
from typing import Any, TypeVar

from dnslib import AAAA, CNAME, MX, RD, RDMAP, SOA, TXT, A
from dnslib.label import DNSBuffer
from msgspec import Struct

from mxlab_services.dns.fields import parse_ttl, string_text
from mxlab_services.dns.master import Entry, Token, generated, read_entries
from mxlab_services.dns.names import Name, fold, name_text, parse_name
from mxlab_services.dns.rdata import (
    FIELDS,
    PLAIN,
    Data,
    FieldError,
    parse_data,
    wire_of,
    wire_text,
)
from mxlab_services.dns.rtypes import zone_type
from mxlab_services.errors import ZoneError, ZoneMistake, ZoneTextError
from mxlab_services.ip import six_text

T = TypeVar("T")


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


class Placed(Struct, frozen=True):
    """A record and the word with which it begins."""

    record: Record
    at: Token


class _Wrong(ZoneError):
    """A mistake at a word."""

    def __init__(self, text: str, at: Token) -> None:
        super().__init__(text)
        self.at = at


def parse_records(text: str, origin: Name, ttl: int | None = None) -> list[Record]:
    """The records in zone text. `ttl` serves where none is stated. Raises ZoneTextError with every
    mistake.

    Without a TTL, it is that of the record before (RFC 1035 §5.1), then the SOA's MINIMUM.
    """
    found, mistakes = read_records(text, origin, ttl)
    if mistakes:
        raise ZoneTextError(mistakes)
    return [placed.record for placed in found]


def read_records(
    text: str, origin: Name, ttl: int | None = None
) -> tuple[list[Placed], list[ZoneMistake]]:
    """The records that can be read, each with its place, and what is wrong with the others."""
    mistakes: list[ZoneMistake] = []
    reader = _Reader(origin, ttl, mistakes)
    for entry in read_entries(text, mistakes):
        reader.read(entry)
    return reader.found, mistakes


class _Reader:
    """What holds from one entry of zone text to the next."""

    def __init__(self, origin: Name, ttl: int | None, mistakes: list[ZoneMistake]) -> None:
        self.found: list[Placed] = []
        self._origin = origin
        self._ttl = ttl
        self._mistakes = mistakes
        self._owner: Name | None = None
        self._unsure = False  # what held before may have stood in an entry that was wrong

    def read(self, entry: Entry) -> None:
        """Read one entry, or note what is wrong with it."""
        first = entry.tokens[0]
        directive = first.text.startswith("$") and not first.quoted and not entry.blank
        try:
            if directive:
                self._directive(entry)
            else:
                self._record(entry)
        except _Wrong as error:
            self._mistakes.append(error.at.wrong(str(error)))
        except ZoneError as error:
            self._mistakes.append(first.wrong(str(error)))
        else:
            return
        self._unsure = True

    def _directive(self, entry: Entry) -> None:
        first, *words = entry.tokens
        match first.text.upper(), words:
            case "$ORIGIN", [value]:
                self._origin = _at(value, parse_name, value.text, self._origin)
            case "$TTL", [value]:
                self._ttl = _at(value, parse_ttl, value.text)
            case "$GENERATE", _:
                for one in generated(entry):
                    self._record(one)
            case "$INCLUDE", _:
                raise ZoneError("$INCLUDE is not followed: put the file's text in its place")
            case _:
                raise ZoneError(
                    f"{first.text} is not understood: use $ORIGIN NAME, $TTL SECONDS or "
                    "$GENERATE RANGE OWNER TYPE DATA"
                )

    def _record(self, entry: Entry) -> None:
        first = entry.tokens[0]
        if not entry.blank:
            self._owner = None
            self._owner = _at(first, parse_name, first.text, self._origin)
        if self._owner is None:
            if self._unsure:
                return  # told where the owner stands
            raise ZoneError("the first record has no owner name")
        ttl, kind, rest = _head(entry.tokens if entry.blank else entry.tokens[1:], first)
        data = _data(kind, rest, self._origin, first)
        if ttl is None:
            ttl = self._ttl
        if ttl is None and self.found:
            ttl = self.found[-1].record.ttl
        if ttl is None and isinstance(data, SOA):
            ttl = data.times[4]
        if ttl is None:
            if self._unsure:
                return
            raise ZoneError("no TTL: write one, or $TTL above it")
        self.found.append(Placed(Record(fold(self._owner), kind, ttl, data), first))


def _at(token: Token, read: Callable[..., T], *words: object) -> T:
    """What `read(*words)` returns; what it finds wrong is wrong at `token`."""
    try:
        return read(*words)
    except ZoneError as error:
        raise _Wrong(str(error), token) from error


def parse_pattern(text: str, origin: Name) -> Pattern:
    """What one line of zone text, possibly without data, says to remove. Raises ZoneError."""
    mistakes: list[ZoneMistake] = []
    entries = list(read_entries(text, mistakes))
    if mistakes:
        raise ZoneTextError(mistakes)
    if len(entries) != 1 or entries[0].blank:
        raise ZoneError(f"{text!r} is not one record: write `name type [data]`")
    first, *rest = entries[0].tokens
    try:
        owner = fold(_at(first, parse_name, first.text, origin))
        _, kind, data = _head(rest, first)
    except _Wrong as error:
        raise ZoneTextError([error.at.wrong(str(error))]) from error
    if data:
        (record,) = parse_records(text, origin, 0)
        return Pattern(owner, kind, record)
    return Pattern(owner, kind, None)


def _head(tokens: list[Token], first: Token) -> tuple[int | None, str, list[Token]]:
    """TTL and class, in either order, then the type; and the tokens of the data."""
    ttl: int | None = None
    for index, token in enumerate(tokens):
        word = token.text.upper()
        if token.quoted:
            break
        if word == "IN":
            continue
        if word in ("CH", "HS", "CS"):
            raise _Wrong(f"class {word}: only IN is served", token)
        if kind := _at(token, zone_type, word):
            return ttl, kind, tokens[index + 1 :]
        if not word[:1].isdigit():
            known = ", ".join((*PLAIN, *FIELDS))
            text = (
                f"record type {token.text!r} is not one of {known}, or TYPE and a number (RFC 3597)"
            )
            raise _Wrong(text, token)
        ttl = _at(token, parse_ttl, token.text)
    raise _Wrong("the record type is missing", tokens[-1] if tokens else first)


def _data(kind: str, tokens: list[Token], origin: Name, first: Token) -> RD:
    try:
        octets = parse_data(kind, tokens, origin)
    except FieldError as error:
        raise _Wrong(str(error), tokens[min(error.word, len(tokens) - 1)]) from error
    except ZoneError as error:
        raise _Wrong(str(error), tokens[0] if tokens else first) from error
    return data_of(kind, octets)


def data_of(kind: str, octets: bytes) -> RD:
    """The data of a record, from its octets with names uncompressed."""
    if kind not in PLAIN:
        return Data(kind, octets)
    known: Any = RDMAP[kind]  # a known type is treated as such, however written (RFC 3597 §5)
    data: RD = known.parse(DNSBuffer(octets), len(octets))
    return data


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
            return six_text(bytes(data.data))
        case TXT():
            return " ".join(string_text(bytes(string)) for string in data.data)
        case _:
            return str(data) if isinstance(data, Data) else wire_text("", wire_of(data))


def answer_text(kind: str, data: Any) -> str:
    """`data_text` of what a message brought, where dnslib has a class for many types."""
    if isinstance(data, SOA | MX | CNAME | A | AAAA | TXT):
        return data_text(data)
    return wire_text(kind, wire_of(data))
