"""The fields of which record data are made: from words to octets and back. Pure.

Nothing here knows a record type. A field of words gives octets or raises ZoneError; octets that a
field cannot be are told by where it would end.

Long: for each kind of field the way in, the end and the way back, which must agree.
"""

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from mxlab_services.dns.names import Name, fold, name_text, parse_name, unescape
from mxlab_services.dns.rare import parameter_words, place_words, read_parameters, read_place
from mxlab_services.dns.rtypes import type_name, type_number
from mxlab_services.errors import ZoneError

Field = Literal[
    "u8", "u16", "u32", "ttl", "time", "type", "ip4", "ip6", "name", "string", "strings", "word",
    "rest", "hex", "base64", "salt", "hash", "types", "place", "parameters",
]  # fmt: skip
REPEATED: frozenset[Field] = frozenset(  # words without end
    ("hex", "base64", "strings", "types", "place", "parameters")
)
OPTIONAL: frozenset[Field] = frozenset(("types", "parameters"))  # perhaps none
QUOTABLE: frozenset[Field] = frozenset(("string", "strings", "rest", "word", "parameters"))
MAX_TTL = 2**31 - 1  # seconds (RFC 2181 §8)

_SIZES: dict[Field, int] = {
    "u8": 1, "u16": 2, "u32": 4, "ttl": 4, "time": 4, "type": 2, "ip4": 4, "ip6": 16,
}  # fmt: skip
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_TTL = re.compile(r"(?:\d+[smhdw])+|\d+", re.IGNORECASE)
_TAG = re.compile(r"[A-Za-z0-9]{1,255}")  # RFC 8659 §4.1
_TIME = re.compile(r"\d{14}", re.ASCII)


# --- from text -----------------------------------------------------------------------------------


def read_field(field: Field, words: Sequence[str], origin: Name) -> bytes:
    """The octets that `words` say: one word, or for a field of REPEATED all that are left."""
    word = words[0] if words else ""
    match field:
        case "u8" | "u16" | "u32":
            size = _SIZES[field]
            return number(word, 256**size - 1).to_bytes(size)
        case "ttl":
            return parse_ttl(word).to_bytes(4)
        case "time":
            return _time(word).to_bytes(4)
        case "type":
            return _type(word).to_bytes(2)
        case "ip4" | "ip6":
            return _address(field, word)
        case "name":
            return b"".join(bytes([len(part)]) + part for part in parse_name(word, origin)) + b"\0"
        case "hex":
            return read_hex(words)
        case "base64":
            return _base64("".join(words))
        case "types":
            return _bitmap({_type(one) for one in words})
        case "place":
            return read_place(words)
        case "parameters":
            return read_parameters(words)
        case _:
            return _read_string(field, words)


def _read_string(field: Field, words: Sequence[str]) -> bytes:
    """The fields that begin with their length, or have none."""
    word = words[0] if words else ""
    match field:
        case "strings":
            return b"".join(_string(one) for one in words)
        case "word":
            if not _TAG.fullmatch(word):
                raise ZoneError(f"{word[:20]!r} is no tag: letters and digits only")
            return _string(word)
        case "rest":
            return unescape(word)
        case "salt":
            return _counted(b"" if word == "-" else read_hex([word]))
        case "hash":
            return _counted(_base32(word))
        case _:
            return _string(word)


def number(text: str, limit: int) -> int:
    """The decimal number in `text`. Raises ZoneError above `limit`."""
    if not (text.isascii() and text.isdigit()) or len(text) > 10 or int(text) > limit:
        raise ZoneError(f"{text[:20]!r} is not a number up to {limit}")
    return int(text)


def parse_ttl(text: str) -> int:
    """Seconds in `3600` or `1h30m`. Raises ZoneError."""
    if not _TTL.fullmatch(text) or not text.isascii():
        raise ZoneError(f"{text[:20]!r} is no TTL")
    parts = re.findall(r"(\d+)([a-z]?)", text.lower())
    seconds = sum(int(digits[:12]) * _UNITS[unit] for digits, unit in parts)
    if seconds > MAX_TTL:
        raise ZoneError(f"TTL {text[:20]} is above {MAX_TTL} seconds")
    return seconds


def read_hex(words: Sequence[str]) -> bytes:
    """The octets that hexadecimal digits, in any number of words, say. Raises ZoneError."""
    text = "".join(words)
    try:
        return binascii.unhexlify(text)
    except (binascii.Error, ValueError) as error:
        raise ZoneError(f"{text[:20]!r} is no hexadecimal of whole octets") from error


def _time(text: str) -> int:
    """Seconds since 1970 in YYYYMMDDHHmmSS or as they are (RFC 4034 §3.2), modulo 2^32."""
    if not _TIME.fullmatch(text):
        return number(text, 2**32 - 1)
    try:
        moment = datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise ZoneError(f"{text} is no time: write YYYYMMDDHHmmSS") from error
    return int(moment.timestamp()) % 2**32


def _type(text: str) -> int:
    found = type_number(text)
    if found is None:
        raise ZoneError(f"{text[:20]!r} is no record type")
    return found


def _address(field: Field, text: str) -> bytes:
    kind = ipaddress.IPv4Address if field == "ip4" else ipaddress.IPv6Address
    try:
        return kind(text).packed
    except ValueError as error:
        raise ZoneError(str(error)) from error


def _string(word: str) -> bytes:
    return _counted(unescape(word))


def _counted(data: bytes) -> bytes:
    if len(data) > 255:
        raise ZoneError("a string has at most 255 octets")
    return bytes([len(data)]) + data


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ZoneError(f"{text[:20]!r} is no base64") from error


def _base32(text: str) -> bytes:
    try:
        return base64.b32hexdecode(text.upper() + "=" * (-len(text) % 8))
    except (binascii.Error, ValueError) as error:
        raise ZoneError(f"{text[:20]!r} is no base32hex") from error


def _bitmap(types: set[int]) -> bytes:
    """Windows of bits, one for each type (RFC 4034 §4.1.2)."""
    out = bytearray()
    for window in sorted({kind >> 8 for kind in types}):
        low = [kind & 0xFF for kind in types if kind >> 8 == window]
        bits = bytearray(max(low) // 8 + 1)
        for kind in low:
            bits[kind // 8] |= 0x80 >> kind % 8
        out += bytes([window, len(bits)]) + bits
    return bytes(out)


# --- to text -------------------------------------------------------------------------------------


def field_end(field: Field, data: bytes, at: int) -> int:
    """Where the field that begins at `at` ends, perhaps behind the data's end. Raises ZoneError."""
    match field:
        case "string" | "word" | "salt" | "hash":
            return at + 1 + data[at] if at < len(data) else at + 1
        case "strings":
            while at < len(data):
                at += 1 + data[at]
            return at
        case "types":
            while at < len(data):
                at += 2 + (data[at + 1] if at + 1 < len(data) else 0)
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
            return at + _SIZES[field] if field in _SIZES else len(data)


def writable(field: Field, part: bytes) -> bool:
    """Whether the field can be written in words: an empty one of hexadecimal cannot."""
    match field:
        case "hex" | "base64" | "strings":
            return bool(part)
        case "hash":
            return len(part) > 1
        case "types":
            return _bitmap(_types(part)) == part
        case "ttl":
            return int.from_bytes(part) <= MAX_TTL
        case "place":
            return place_words(part) is not None
        case "parameters":
            return parameter_words(part) is not None
        case "word":
            return bool(_TAG.fullmatch(part[1:].decode("ascii", "replace")))
        case _:
            return True


def field_words(field: Field, part: bytes, folded: bool) -> list[str]:
    """The words of a field; with `folded`, names are in lower case."""
    match field:
        case "name":
            name = read_name(part)
            return [name_text(fold(name) if folded else name)]
        case "type":
            return [type_name(int.from_bytes(part))]
        case "ip4" | "ip6":
            return [str(ipaddress.ip_address(part))]
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
        case "salt":
            return [part[1:].hex() or "-"]
        case "hash":
            return [base64.b32hexencode(part[1:]).decode().rstrip("=")]
        case "types":
            return [type_name(kind) for kind in sorted(_types(part))]
        case "place":
            return place_words(part) or []
        case "parameters":
            return parameter_words(part) or []
        case _:
            return [str(int.from_bytes(part))]


def _types(part: bytes) -> set[int]:
    found: set[int] = set()
    at = 0
    while at + 1 < len(part):
        bits = part[at + 2 : at + 2 + part[at + 1]]
        found |= {
            part[at] << 8 | place * 8 + bit
            for place, octet in enumerate(bits)
            for bit in range(8)
            if octet & 0x80 >> bit
        }
        at += 2 + part[at + 1]
    return found


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
