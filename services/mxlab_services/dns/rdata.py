"""Record types beyond those that the lab itself uses: their numbers, their data as text and back.

A type is described once, by its fields. What has no description, or is meant literally, is written
as RFC 3597 says (`TYPE65534 \\# 4 0a000001`), and is served byte for byte. Pure.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Literal

from dnslib import QTYPE, RD
from dnslib.label import DNSBuffer, DNSLabel

from mxlab_services.dns.names import Name, fold, name_text, parse_name, unescape
from mxlab_services.errors import ZoneError

Field = Literal["u8", "u16", "u32", "name", "string", "strings", "word", "rest", "hex", "base64"]

FIELDS: dict[str, tuple[Field, ...]] = {
    "HINFO": ("string", "string"),  # RFC 1035 §3.3.2
    "RP": ("name", "name"),  # RFC 1183 §2.2
    "AFSDB": ("u16", "name"),  # RFC 1183 §1
    "SRV": ("u16", "u16", "u16", "name"),  # RFC 2782
    "NAPTR": ("u16", "u16", "string", "string", "string", "name"),  # RFC 3403 §4.1
    "KX": ("u16", "name"),  # RFC 2230
    "CERT": ("u16", "u16", "u8", "base64"),  # RFC 4398 §2
    "DS": ("u16", "u8", "u8", "hex"),  # RFC 4034 §5
    "SSHFP": ("u8", "u8", "hex"),  # RFC 4255 §3
    "DNSKEY": ("u16", "u8", "u8", "base64"),  # RFC 4034 §2
    "DHCID": ("base64",),  # RFC 4701 §3
    "TLSA": ("u8", "u8", "u8", "hex"),  # RFC 6698 §2
    "SMIMEA": ("u8", "u8", "u8", "hex"),  # RFC 8162 §2
    "CDS": ("u16", "u8", "u8", "hex"),  # RFC 7344 §3
    "CDNSKEY": ("u16", "u8", "u8", "base64"),
    "OPENPGPKEY": ("base64",),  # RFC 7929 §2
    "SPF": ("strings",),  # RFC 7208 §14.1: as TXT
    "URI": ("u16", "u16", "rest"),  # RFC 7553 §4
    "CAA": ("u8", "word", "rest"),  # RFC 8659 §4
}
_NUMBERS: dict[str, int] = {name: number for number, name in QTYPE.forward.items() if number != 53}
_NUMBERS["SMIMEA"] = 53  # dnslib takes it for HIP, which is 55
_NAMES: dict[int, str] = {number: name for name, number in _NUMBERS.items()}
_TAG = re.compile(r"[A-Za-z0-9]{1,255}")  # RFC 8659 §4.1
_GENERIC = re.compile(r"TYPE(\d{1,5})", re.IGNORECASE)
_PLAIN = {"A": ("u32",), "AAAA": ("u32",) * 4, "NS": ("name",), "CNAME": ("name",),
          "PTR": ("name",), "MX": ("u16", "name"), "TXT": ("strings",),
          "SOA": ("name", "name", "u32", "u32", "u32", "u32", "u32")}  # fmt: skip
_SIZES: dict[str, int] = {"u8": 1, "u16": 2, "u32": 4}
_UNSERVED = {  # what would have to be obeyed, or made, rather than kept
    "DNAME": "RFC 6672's redirection is not served here",
    "OPT": "it belongs to messages, not to zones (RFC 6891 §6.1.1)",
}
_MOST = 65535  # octets of one record's data


def type_number(text: str) -> int | None:
    """The number of a record type, by its mnemonic or as TYPE1234 (RFC 3597 §5)."""
    number = _NUMBERS.get(text.upper())
    if number is None and (match := _GENERIC.fullmatch(text)) and int(match[1]) <= _MOST:
        number = int(match[1])
    return number


def type_name(number: int) -> str:
    """A record type's mnemonic, or TYPE1234 where it has none here (RFC 3597 §5)."""
    return _NAMES.get(number, f"TYPE{number}")


def zone_type(text: str) -> str | None:
    """The one name of a type that a zone may hold, None where `text` is no type.

    Raises ZoneError for a type that no zone holds, or that could not be served right.
    """
    number = type_number(text)
    if number is None:
        return None
    name = type_name(number)
    if name in _UNSERVED:
        raise ZoneError(f"record type {name}: {_UNSERVED[name]}")
    if number == 0 or 128 <= number <= 255:  # RFC 6895 §3.1
        raise ZoneError(f"record type {name}: it is for questions only, no zone holds it")
    return name


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


def parse_data(kind: str, words: Sequence[str], origin: Name) -> bytes:
    """The data that `words`, a field each, say for a type of FIELDS. Raises ZoneError."""
    fields = FIELDS.get(kind)
    if fields is None:
        raise ZoneError(f"{kind}: write its data as \\# LENGTH HEX (RFC 3597)")
    least = len(fields)
    if len(words) < least or (
        len(words) > least and fields[-1] not in ("hex", "base64", "strings")
    ):
        raise ZoneError(f"{kind} takes {least} field{'s'[: least != 1]}, not {len(words)}")
    out = bytearray()
    try:
        for number, field in enumerate(fields):
            given = words[number:] if number == least - 1 else words[number : number + 1]
            out += _field(field, given, origin)
    except ZoneError as error:
        raise ZoneError(f"{kind}: {error}") from error
    return _bounded(kind, bytes(out))


def parse_generic(kind: str, words: Sequence[str]) -> bytes:
    r"""The data that `\# LENGTH HEX...` says (RFC 3597 §5), checked where the type is known.

    `words` are those after `\#`. Raises ZoneError.
    """
    if not words or not re.fullmatch(r"\d{1,5}", words[0], re.ASCII):
        raise ZoneError(f"{kind}: \\# is followed by the length in octets")
    data = _hex(words[1:])
    if len(data) != int(words[0]):
        raise ZoneError(f"{kind}: \\# says {int(words[0])} octets, and {len(data)} follow")
    _split(kind, data)
    return _bounded(kind, data)


def _bounded(kind: str, data: bytes) -> bytes:
    if len(data) > 65000:
        raise ZoneError(f"{kind}: more data than a message holds")
    return data


def _field(field: Field, words: Sequence[str], origin: Name) -> bytes:
    word = words[0]
    match field:
        case "u8" | "u16" | "u32":
            size = _SIZES[field]
            return number(word, 256**size - 1).to_bytes(size)
        case "name":
            return b"".join(bytes([len(part)]) + part for part in parse_name(word, origin)) + b"\0"
        case "hex":
            return _hex(words)
        case "base64":
            return _base64("".join(words))
        case "strings":
            return b"".join(_string(one) for one in words)
        case "word":
            if not _TAG.fullmatch(word):
                raise ZoneError(f"{word[:20]!r} is no tag: letters and digits only")
            return _string(word)
        case "rest":
            return unescape(word)
        case "string":
            return _string(word)


def number(text: str, limit: int) -> int:
    """The decimal number in `text`. Raises ZoneError above `limit`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > limit:
        raise ZoneError(f"{text[:20]!r} is not a number up to {limit}")
    return int(text)


def _string(word: str) -> bytes:
    data = unescape(word)
    if len(data) > 255:
        raise ZoneError("a string has at most 255 octets")
    return bytes([len(data)]) + data


def _hex(words: Sequence[str]) -> bytes:
    text = "".join(words)
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError) as error:
        raise ZoneError(f"{text[:20]!r} is no hexadecimal of whole octets") from error


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ZoneError(f"{text[:20]!r} is no base64") from error


# --- to text -------------------------------------------------------------------------------------


def wire_text(kind: str, data: bytes, *, folded: bool = False) -> str:
    """Data as zone text writes it, in RFC 3597's form where the type has no description or the
    data does not fit it. With `folded`, names are in lower case."""
    if kind in FIELDS:
        try:
            parts = _split(kind, data)
        except ZoneError:
            pass  # not ours: a peer sent it
        else:
            if all(_writable(field, part) for field, part in parts):
                shown = (text for field, part in parts for text in _shown(field, part, folded))
                return " ".join(shown)
    return f"\\# {len(data)} {data.hex()}".rstrip()


def wire_of(data: Any) -> bytes:
    """The octets of a dnslib.RD, names uncompressed."""
    buffer = _Plain()
    data.pack(buffer)
    return bytes(buffer.data)


class _Plain(DNSBuffer):
    def encode_name(self, name: DNSLabel) -> None:
        self.encode_name_nocompress(name)


def _split(kind: str, data: bytes) -> list[tuple[Field, bytes]]:
    """The fields in `data` of a known type; of another, nothing. Raises ZoneError."""
    fields: Sequence[Any] = _PLAIN.get(kind) or FIELDS.get(kind, ())
    if not fields:
        return []
    parts: list[tuple[Field, bytes]] = []
    at = 0
    for field in fields:
        try:
            end = _end(field, data, at)
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


def _end(field: Field, data: bytes, at: int) -> int:
    """Where the field that begins at `at` ends, perhaps behind the data's end."""
    match field:
        case "u8" | "u16" | "u32":
            return at + _SIZES[field]
        case "string" | "word":
            return at + 1 + data[at] if at < len(data) else at + 1
        case "strings":
            while at < len(data):
                at += 1 + data[at]
            return at
        case "name":
            start = at
            while at < len(data) and data[at]:
                if data[at] > 63 or at - start > 254:
                    raise ZoneError("a name in the data is no plain name")
                at += 1 + data[at]
            if at - start > 254:
                raise ZoneError("a name in the data is longer than 255 octets")
            return at + 1
        case _:
            return len(data)


def _writable(field: Field, part: bytes) -> bool:
    """Whether the field can be written in words: an empty one of hexadecimal cannot."""
    match field:
        case "hex" | "base64" | "strings":
            return bool(part)
        case "word":
            return bool(_TAG.fullmatch(part[1:].decode("ascii", "replace")))
        case _:
            return True


def _shown(field: Field, part: bytes, folded: bool) -> list[str]:
    match field:
        case "u8" | "u16" | "u32":
            return [str(int.from_bytes(part))]
        case "name":
            name = read_name(part)
            return [name_text(fold(name) if folded else name)]
        case "hex":
            return [part.hex()]
        case "base64":
            return [base64.b64encode(part).decode()]
        case "word":
            return [part[1:].decode("ascii")]
        case "string":
            return [string_text(part[1:])]
        case "strings":
            return _strings(part)
        case "rest":
            return [string_text(part)]


def read_name(data: bytes) -> Name:
    """The name in wire form at the beginning of `data`, uncompressed."""
    labels, at = [], 0
    while length := data[at]:
        labels.append(data[at + 1 : at + 1 + length])
        at += 1 + length
    return tuple(labels)


def _strings(part: bytes) -> list[str]:
    shown, at = [], 0
    while at < len(part):
        shown.append(string_text(part[at + 1 : at + 1 + part[at]]))
        at += 1 + part[at]
    return shown


def string_text(string: bytes) -> str:
    """A character-string as zone text quotes it (RFC 1035 §5.1)."""
    body = "".join(
        f"\\{octet:03d}"
        if not 32 <= octet <= 126
        else ("\\" if octet in b'"\\' else "") + chr(octet)
        for octet in string
    )
    return f'"{body}"'
