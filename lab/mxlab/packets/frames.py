"""Ethernet frames with IPv4 or IPv6, TCP or UDP in them, their checksums right. Pure."""

import ipaddress
import struct
import zlib
from typing import NamedTuple

TCP, UDP = 6, 17
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
SEGMENT = 1440  # bytes of data in a TCP segment, of either family: 1500 less both headers
_IPV4, _IPV6 = 0x0800, 0x86DD
_HOPS = 64


class Port(NamedTuple):
    """One end of a conversation."""

    address: str
    port: int


def tcp_frame(
    source: Port,
    target: Port,
    flags: int,
    numbers: tuple[int, int],
    data: bytes = b"",
    size: int | None = None,
) -> tuple[bytes, int]:
    """A segment and its size as a frame. `numbers`: its sequence and acknowledgement numbers.

    `size`: the bytes of data that it had, where they are not to be in it: the frame is cut behind
    the header, and its checksum is left 0, as it cannot be known.
    """
    # a maximum segment size, and a window that is counted in units of 128 bytes
    options = struct.pack("!BBHBBBB", 2, 4, SEGMENT, 1, 3, 3, 7) if flags & SYN else b""
    offset = (20 + len(options)) // 4 << 4
    sequence, acknowledged = (number & 0xFFFFFFFF for number in numbers)
    window = 0 if flags & RST else 65535

    def header(checksum: int) -> bytes:
        return (
            struct.pack(
                "!HHIIBBHHH", source.port, target.port, sequence, acknowledged, offset, flags,
                window, checksum, 0,
            )
            + options
        )  # fmt: skip

    bare = header(0) + data
    if size is not None:
        return _frame(source, target, TCP, bare, len(bare) + size)
    return _frame(source, target, TCP, header(_of_ends(source, target, TCP, bare)) + data)


def udp_frame(source: Port, target: Port, data: bytes) -> tuple[bytes, int]:
    """A datagram and its size as a frame."""
    length = 8 + len(data)
    bare = struct.pack("!HHHH", source.port, target.port, length, 0) + data
    checksum = _of_ends(source, target, UDP, bare) or 0xFFFF  # 0 says that there is none
    whole = struct.pack("!HHHH", source.port, target.port, length, checksum) + data
    return _frame(source, target, UDP, whole)


def _frame(
    source: Port, target: Port, protocol: int, payload: bytes, size: int | None = None
) -> tuple[bytes, int]:
    """The frame around a packet's payload, which has `size` bytes, here or not."""
    length = len(payload) if size is None else size
    own, peer = _packed(source), _packed(target)
    if len(own) == 4:
        kind, fixed = _IPV4, struct.Struct("!BBHHHBBH4s4s")
        fields = 0x45, 0, 20 + length, 0, 0x4000, _HOPS, protocol
        header = fixed.pack(*fields, _checksum(fixed.pack(*fields, 0, own, peer)), own, peer)
    else:
        kind = _IPV6
        header = struct.pack("!IHBB16s16s", 6 << 28, length, protocol, _HOPS, own, peer)
    whole = _mac(target) + _mac(source) + struct.pack("!H", kind) + header + payload
    return whole, 14 + len(header) + length


def _of_ends(source: Port, target: Port, protocol: int, payload: bytes) -> int:
    """The checksum of TCP and UDP, with the addresses (RFC 9293 §3.1, RFC 8200 §8.1)."""
    ends = _packed(source) + _packed(target)
    return _checksum(ends + struct.pack("!II", len(payload), protocol) + payload)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += bytes(len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _packed(end: Port) -> bytes:
    return ipaddress.ip_address(end.address).packed


def _mac(end: Port) -> bytes:
    """An address of hardware, made up: of the kind that everybody may make up."""
    return b"\x02\x00" + struct.pack("!I", zlib.crc32(_packed(end)))
