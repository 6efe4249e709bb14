"""Fields that only one family of record types has: LOC's place, the parameters of SVCB. Pure."""

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence

from mxlab_services.dns.names import unescape
from mxlab_services.errors import ZoneError

# --- LOC (RFC 1876) ------------------------------------------------------------------------------

_METRES = re.compile(r"(-?\d{1,8})(?:\.(\d{1,2}))?m?", re.ASCII)
_BASE = 100_000 * 100  # centimetres: altitudes count from 100 km below
_HALF = 2**31  # thousandths of a second of arc: the equator and the meridian
_SIZES = ("1m", "10000m", "10m")  # size, horizontal and vertical precision, unless given


def read_place(words: Sequence[str]) -> bytes:
    """The data of a LOC record. Raises ZoneError."""
    rest = list(words)
    latitude = _angle(rest, "NS", 90)
    longitude = _angle(rest, "EW", 180)
    if not rest:
        raise ZoneError("the altitude is missing")
    altitude = _centimetres(rest.pop(0)) + _BASE
    if not 0 <= altitude < 2**32 or len(rest) > len(_SIZES):
        raise ZoneError("no altitude, or more than three sizes behind it")
    sizes = [*rest, *_SIZES[len(rest) :]]
    numbers = (latitude, longitude, altitude)
    return bytes([0, *(_power(word) for word in sizes)]) + b"".join(n.to_bytes(4) for n in numbers)


def _angle(rest: list[str], letters: str, most: int) -> int:
    """Degrees, minutes, seconds and a letter, taken from the beginning of `rest`."""
    parts: list[str] = []
    while rest and rest[0].upper() not in (letters[0], letters[1]) and len(parts) < 3:
        parts.append(rest.pop(0))
    if not rest or not parts or rest[0].upper() not in (letters[0], letters[1]):
        raise ZoneError(f"degrees, minutes and seconds end with {letters[0]} or {letters[1]}")
    positive = rest.pop(0).upper() == letters[0]
    whole = re.fullmatch(
        r"(\d{1,3})(?: (\d{1,2})(?: (\d{1,2})(?:\.(\d{1,3}))?)?)?", " ".join(parts)
    )
    degrees, minutes, seconds = (
        (int(part or 0) for part in whole.groups()[:3]) if whole else (999,) * 3
    )
    thousandths = int((whole[4] or "0").ljust(3, "0")) if whole else 0
    angle = ((degrees * 60 + minutes) * 60 + seconds) * 1000 + thousandths
    if minutes > 59 or seconds > 59 or angle > most * 3_600_000:
        raise ZoneError(f"{' '.join(parts)!r} is no angle up to {most} degrees")
    return _HALF + (angle if positive else -angle)


def _centimetres(word: str) -> int:
    match = _METRES.fullmatch(word)
    if match is None:
        raise ZoneError(f"{word[:20]!r} is no length in metres")
    sign = -1 if word.startswith("-") else 1
    return sign * (abs(int(match[1])) * 100 + int((match[2] or "0").ljust(2, "0")))


def _power(word: str) -> int:
    """Centimetres as a digit and a power of ten (RFC 1876 §2)."""
    length = _centimetres(word)
    exponent = max(0, len(str(length)) - 1)
    if length < 0 or exponent > 9:
        raise ZoneError(f"{word[:20]!r} is no size")
    return int(str(length)[0]) << 4 | exponent


def place_words(data: bytes) -> list[str] | None:
    """The words of a LOC record; None where it cannot be said in words."""
    if len(data) != 16 or data[0] or any(part & 15 > 9 or part >> 4 > 9 for part in data[1:4]):
        return None
    latitude, longitude, altitude = (int.from_bytes(data[at : at + 4]) for at in (4, 8, 12))
    if abs(latitude - _HALF) > 90 * 3_600_000 or abs(longitude - _HALF) > 180 * 3_600_000:
        return None
    sizes = [_metres((part >> 4) * 10 ** (part & 15)) for part in data[1:4]]
    return [*_arc(latitude, "NS"), *_arc(longitude, "EW"), _metres(altitude - _BASE), *sizes]


def _arc(angle: int, letters: str) -> list[str]:
    minutes, thousandths = divmod(abs(angle - _HALF), 60_000)
    degrees, minutes = divmod(minutes, 60)
    seconds = f"{thousandths // 1000}.{thousandths % 1000:03}"
    return [str(degrees), str(minutes), seconds, letters[angle < _HALF]]


def _metres(centimetres: int) -> str:
    whole, rest = divmod(abs(centimetres), 100)
    return f"{'-' if centimetres < 0 else ''}{whole}.{rest:02}m"


# --- SVCB and HTTPS (RFC 9460) -------------------------------------------------------------------

_KEYS = ("mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint")
_KEY = re.compile(r"key(\d{1,5})")


def read_parameters(words: Sequence[str]) -> bytes:
    """The parameters of an SVCB record, in order of their keys. Raises ZoneError."""
    found: dict[int, bytes] = {}
    rest = list(words)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if equals and not value and rest:
            value = rest.pop(0)  # it stood in quotes
        key = _key(name)
        if key in found:
            raise ZoneError(f"{name} stands there twice")
        found[key] = _value(key, name, value)
    if any(
        int.from_bytes(found[0][at : at + 2]) not in found
        for at in range(0, len(found.get(0, b"")), 2)
    ):
        raise ZoneError("mandatory names a key that is not there")
    return b"".join(
        key.to_bytes(2) + len(found[key]).to_bytes(2) + found[key] for key in sorted(found)
    )


def _key(name: str) -> int:
    if name in _KEYS:
        return _KEYS.index(name)
    match = _KEY.fullmatch(name)
    if match is None or int(match[1]) > 65534:
        raise ZoneError(f"{name[:20]!r} is no key: {', '.join(_KEYS)}, or key and a number")
    return int(match[1])


def _value(key: int, name: str, value: str) -> bytes:
    try:
        match key:
            case 0:
                return b"".join(sorted(_key(one).to_bytes(2) for one in value.split(",")))
            case 1:
                parts = [unescape(one) for one in value.split(",")]
                if not all(0 < len(part) < 256 for part in parts):
                    raise ZoneError("a protocol has 1 to 255 octets")
                return b"".join(bytes([len(part)]) + part for part in parts)
            case 2 if value:
                raise ZoneError("it has no value")
            case 3:
                return int(value).to_bytes(2)
            case 4:
                return b"".join(ipaddress.IPv4Address(one).packed for one in value.split(","))
            case 5:
                return base64.b64decode(value, validate=True)
            case 6:
                return b"".join(ipaddress.IPv6Address(one).packed for one in value.split(","))
            case _:
                return unescape(value)
    except (ZoneError, ValueError, OverflowError, binascii.Error) as error:
        raise ZoneError(f"{name}: {error}") from error


def parameter_words(data: bytes) -> list[str] | None:
    """The words of the parameters; None where they cannot be said in words."""
    words: list[str] = []
    at, last = 0, -1
    while at + 4 <= len(data):
        key, length = int.from_bytes(data[at : at + 2]), int.from_bytes(data[at + 2 : at + 4])
        value = data[at + 4 : at + 4 + length]
        if key <= last or len(value) != length or (shown := _shown(key, value)) is None:
            return None
        words.append(shown)
        at, last = at + 4 + length, key
    return words if at == len(data) and read_back(words) == data else None


def read_back(words: Sequence[str]) -> bytes | None:
    """`read_parameters`, None for what it does not read."""
    try:
        return read_parameters(words)
    except ZoneError:
        return None


def _shown(key: int, value: bytes) -> str | None:
    name = _KEYS[key] if key < len(_KEYS) else f"key{key}"
    match key:
        case 0:
            numbers = [int.from_bytes(value[at : at + 2]) for at in range(0, len(value), 2)]
            keys = [_KEYS[one] if one < len(_KEYS) else f"key{one}" for one in numbers]
            return f"{name}={','.join(keys)}"
        case 1:
            parts, at = [], 0
            while at < len(value):
                parts.append(value[at + 1 : at + 1 + value[at]])
                at += 1 + value[at]
            if not all(re.fullmatch(rb"[A-Za-z0-9/._-]+", part) for part in parts):
                return None
            return f"{name}={b','.join(parts).decode()}"
        case 2:
            return name
        case 3:
            return f"{name}={int.from_bytes(value)}"
        case 4 | 6:
            size = 4 if key == 4 else 16
            pieces = [value[at : at + size] for at in range(0, len(value), size)]
            if any(len(piece) != size for piece in pieces):
                return None
            return f"{name}={','.join(str(ipaddress.ip_address(piece)) for piece in pieces)}"
        case 5:
            return f"{name}={base64.b64encode(value).decode()}"
        case _:
            text = "".join(f"\\{octet:03d}" for octet in value)
            return f"{name}={text}" if text else name
