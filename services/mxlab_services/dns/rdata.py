"""The data of records as text and as octets, of every type.

A type is described once, by its fields. What has no description, or is meant literally, is written
as RFC 3597 says (`TYPE65534 \\# 4 0a000001`), and is served byte for byte. Pure.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import re
from collections.abc import Sequence
from typing import Any

from dnslib import RD
from dnslib.label import DNSBuffer, DNSLabel

from mxlab_services.dns.fields import (
    OPTIONAL,
    QUOTABLE,
    REPEATED,
    Field,
    field_end,
    field_words,
    read_field,
    read_hex,
    writable,
)
from mxlab_services.dns.master import Token
from mxlab_services.dns.names import Name
from mxlab_services.errors import ZoneError

PLAIN: dict[str, tuple[Field, ...]] = {  # RFC 1035 §3.3, RFC 3596: what has a class in dnslib
    "SOA": ("name", "name", "u32", "ttl", "ttl", "ttl", "ttl"),
    "NS": ("name",),
    "MX": ("u16", "name"),
    "A": ("ip4",),
    "AAAA": ("ip6",),
    "CNAME": ("name",),
    "TXT": ("strings",),
    "PTR": ("name",),
}
FIELDS: dict[str, tuple[Field, ...]] = {
    "HINFO": ("string", "string"),  # RFC 1035 §3.3.2
    "RP": ("name", "name"),  # RFC 1183 §2.2
    "AFSDB": ("u16", "name"),  # RFC 1183 §1
    "LOC": ("place",),  # RFC 1876
    "SRV": ("u16", "u16", "u16", "name"),  # RFC 2782
    "NAPTR": ("u16", "u16", "string", "string", "string", "name"),  # RFC 3403 §4.1
    "KX": ("u16", "name"),  # RFC 2230
    "CERT": ("u16", "u16", "u8", "base64"),  # RFC 4398 §2
    "DS": ("u16", "u8", "u8", "hex"),  # RFC 4034 §5
    "SSHFP": ("u8", "u8", "hex"),  # RFC 4255 §3
    "RRSIG": ("type", "u8", "u8", "ttl", "time", "time", "u16", "name", "base64"),  # RFC 4034 §3
    "NSEC": ("name", "types"),  # RFC 4034 §4
    "DNSKEY": ("u16", "u8", "u8", "base64"),  # RFC 4034 §2
    "DHCID": ("base64",),  # RFC 4701 §3
    "NSEC3": ("u8", "u8", "u16", "salt", "hash", "types"),  # RFC 5155 §3
    "NSEC3PARAM": ("u8", "u8", "u16", "salt"),  # RFC 5155 §4
    "TLSA": ("u8", "u8", "u8", "hex"),  # RFC 6698 §2
    "SMIMEA": ("u8", "u8", "u8", "hex"),  # RFC 8162 §2
    "CDS": ("u16", "u8", "u8", "hex"),  # RFC 7344 §3
    "CDNSKEY": ("u16", "u8", "u8", "base64"),
    "OPENPGPKEY": ("base64",),  # RFC 7929 §2
    "CSYNC": ("u32", "u16", "types"),  # RFC 7477 §2
    "ZONEMD": ("u32", "u8", "u8", "hex"),  # RFC 8976 §2
    "SVCB": ("u16", "name", "parameters"),  # RFC 9460 §2
    "HTTPS": ("u16", "name", "parameters"),
    "SPF": ("strings",),  # RFC 7208 §14.1: as TXT
    "URI": ("u16", "u16", "rest"),  # RFC 7553 §4
    "CAA": ("u8", "word", "rest"),  # RFC 8659 §4
}


class FieldError(ZoneError):
    """Data that are wrong in the word number `word` (from 0) behind the type."""

    def __init__(self, text: str, word: int) -> None:
        super().__init__(text)
        self.word = word


class Data(RD):
    """Data of a type with no class of its own in dnslib's sense: sent as it is, uncompressed
    (RFC 3597 §4). `str` is its text."""

    def __init__(self, kind: str, data: bytes) -> None:
        super().__init__(data)
        self.kind = kind

    def __str__(self) -> str:
        return wire_text(self.kind, bytes(self.data))

    def key(self) -> str:
        """Equal for equal data: names in any case (RFC 4343)."""
        return wire_text(self.kind, bytes(self.data), folded=True)


# --- from text -----------------------------------------------------------------------------------


def parse_data(kind: str, tokens: Sequence[Token], origin: Name) -> bytes:
    """The data that `tokens` say for a type, its names uncompressed. Raises ZoneError; a FieldError
    where one word is to blame."""
    words = [token.text for token in tokens]
    if words[:1] == ["\\#"] and not tokens[0].quoted:
        return _generic(kind, words[1:])
    fields = PLAIN.get(kind) or FIELDS.get(kind)
    if fields is None:
        raise ZoneError(f"{kind}: write its data as \\# LENGTH HEX (RFC 3597)")
    for place, token in enumerate(tokens):
        if token.quoted and not QUOTABLE.intersection(fields):
            raise FieldError(f"{kind}: a quoted string where none belongs", place)
    most, least = len(fields), len(fields) - (fields[-1] in OPTIONAL)
    if len(words) < least or (len(words) > most and fields[-1] not in REPEATED):
        raise ZoneError(f"{kind} takes {most} field{'s'[: most != 1]}, not {len(words)}")
    out = bytearray()
    for place, field in enumerate(fields):
        try:
            if place < most - 1:
                out += read_field(field, words[place : place + 1], origin)
            else:
                out += read_field(field, words[place:], origin)
        except ZoneError as error:
            raise FieldError(f"{kind}: {error}", place) from error
    return _bounded(kind, bytes(out))


def _generic(kind: str, words: Sequence[str]) -> bytes:
    r"""The data that `\# LENGTH HEX...` says (RFC 3597 §5), checked where the type is known.

    `words` are those after `\#`. Raises ZoneError.
    """
    if not words or not re.fullmatch(r"\d{1,5}", words[0], re.ASCII):
        raise ZoneError(f"{kind}: \\# is followed by the length in octets")
    data = read_hex(words[1:])
    if len(data) != int(words[0]):
        raise ZoneError(f"{kind}: \\# says {int(words[0])} octets, and {len(data)} follow")
    split_data(kind, data)
    return _bounded(kind, data)


def _bounded(kind: str, data: bytes) -> bytes:
    if len(data) > 65000:
        raise ZoneError(f"{kind}: more data than a message holds")
    return data


# --- to text -------------------------------------------------------------------------------------


def wire_text(kind: str, data: bytes, *, folded: bool = False) -> str:
    """Data as zone text writes it, in RFC 3597's form where the type has no description or the
    data does not fit it. With `folded`, names are in lower case."""
    if kind in FIELDS:
        try:
            parts = split_data(kind, data)
        except ZoneError:
            pass  # not ours: a peer sent it
        else:
            if all(writable(field, part) for field, part in parts):
                return " ".join(
                    word for field, part in parts for word in field_words(field, part, folded)
                )
    return f"\\# {len(data)} {data.hex()}".rstrip()


def wire_of(data: Any) -> bytes:
    """The octets of a dnslib.RD, names uncompressed."""
    buffer = _Plain()
    data.pack(buffer)
    return bytes(buffer.data)


class _Plain(DNSBuffer):
    def encode_name(self, name: DNSLabel) -> None:
        self.encode_name_nocompress(name)


def split_data(kind: str, data: bytes) -> list[tuple[Field, bytes]]:
    """The fields in `data` of a known type; of another, nothing. Raises ZoneError."""
    fields = PLAIN.get(kind) or FIELDS.get(kind, ())
    if not fields:
        return []
    parts: list[tuple[Field, bytes]] = []
    at = 0
    for field in fields:
        try:
            end = field_end(field, data, at)
        except ZoneError as error:
            raise ZoneError(f"{kind}: {error}") from error
        if end > len(data):
            raise ZoneError(f"{kind}: the data end within a field")
        parts.append((field, data[at:end]))
        at = end
    if at != len(data):
        raise ZoneError(f"{kind}: {len(data) - at} octets too many")
    if kind == "TXT" and not data:
        raise ZoneError("TXT takes one or more strings of at most 255 octets")
    return parts
