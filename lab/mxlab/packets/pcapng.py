"""Blocks of a pcapng file, little-endian, with timestamps in nanoseconds. Pure.

By hand, as no library writes what is needed: scapy and dpkt write no name resolution block and no
interface names of their own, python-pcapng has no decryption secrets and has had no release since
2022, and each would be installed by all who install mxlab, for the sixty lines here. What is
written is read by tshark and capinfos in the tests.
"""

import ipaddress
import struct
from collections.abc import Iterable, Mapping, Sequence

NANOSECONDS = 9  # if_tsresol: timestamps count 10**-9 s
ETHERNET = 1  # LINKTYPE_ETHERNET
MOST_TEXT = 60_000  # bytes of one option's text: its length has 16 bits

_SECTION, _INTERFACE, _NAMES, _PACKET, _SECRETS = 0x0A0D0D0A, 1, 4, 6, 10
_ORDER = 0x1A2B3C4D  # tells the order of the bytes
_END, _COMMENT = 0, 1
_APPLICATION = 4  # options of the section
_IF_NAME, _IF_DESCRIPTION, _IF_RESOLUTION = 2, 3, 9  # options of an interface
_FLAGS, _OUTBOUND, _INBOUND = 2, 2, 1  # an option of a packet, and what it says
_TLS_KEYS = 0x544C534B  # secrets in the form of NSS's key log


def section(application: str, comment: str) -> bytes:
    """The beginning of a file. `comment` is what its reader is to know first."""
    fixed = struct.pack("<IHHq", _ORDER, 1, 0, -1)
    options = _options([(_COMMENT, _text(comment)), (_APPLICATION, _text(application))])
    return _block(_SECTION, fixed + options)


def interface(name: str, description: str) -> bytes:
    """One more interface; they are numbered from 0 in the order written."""
    options = [
        (_IF_NAME, _text(name)),
        (_IF_DESCRIPTION, _text(description)),
        (_IF_RESOLUTION, bytes([NANOSECONDS])),
    ]
    return _block(_INTERFACE, struct.pack("<HHI", ETHERNET, 0, 0) + _options(options))


def name_resolution(names: Mapping[str, Sequence[str]]) -> bytes:
    """The names of addresses, so that nobody need ask for them. An address without any is left
    out."""
    records = b""
    for address, known in names.items():
        if known:
            packed = ipaddress.ip_address(address).packed
            text = b"".join(
                name.replace("\0", "").encode("utf-8", "replace") + b"\0" for name in known
            )
            records += _option(1 if len(packed) == 4 else 2, packed + text)
    return _block(_NAMES, records + struct.pack("<HH", _END, 0))


def tls_secrets(key_log: bytes) -> bytes:
    """Keys for the packets that follow, as a library's key log has them."""
    return _block(_SECRETS, struct.pack("<II", _TLS_KEYS, len(key_log)) + _padded(key_log))


def packet(
    number: int,
    at: int,
    data: bytes,
    size: int = 0,
    comments: Iterable[str] = (),
    *,
    outbound: bool = True,
) -> bytes:
    """A frame at interface `number`, `at` so many nanoseconds of Unix time. `size`: the bytes that
    it had, where `data` are its first ones only. Each comment is shown by itself."""
    fixed = struct.pack(
        "<IIIII", number, at >> 32, at & 0xFFFFFFFF, len(data), max(size, len(data))
    )
    options = [(_COMMENT, _text(comment)) for comment in comments]
    options.append((_FLAGS, struct.pack("<I", _OUTBOUND if outbound else _INBOUND)))
    return _block(_PACKET, fixed + _padded(data) + _options(options))


def _block(kind: int, body: bytes) -> bytes:
    length = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + length + body + length


def _options(options: Iterable[tuple[int, bytes]]) -> bytes:
    return b"".join(_option(code, value) for code, value in options) + struct.pack("<HH", _END, 0)


def _option(code: int, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + _padded(value)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def _text(text: str) -> bytes:
    """Text as an option has it. It is cut where it is too long, within no character."""
    whole = text.encode("utf-8", "replace")
    return (
        whole if len(whole) <= MOST_TEXT else whole[:MOST_TEXT].decode("utf-8", "ignore").encode()
    )
