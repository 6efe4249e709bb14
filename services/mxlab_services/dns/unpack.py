"""Messages of others taken apart: names followed through their pointers (RFC 1035 §4.1.4). Pure.

Whatever the octets are, they are a message or a ValueError; a name's pointers lead backwards only,
so that reading ends.
"""

import struct

from msgspec import Struct

from mxlab_services.dns.fields import field_end
from mxlab_services.dns.names import Name
from mxlab_services.dns.rdata import FIELDS, PLAIN
from mxlab_services.dns.rtypes import type_name
from mxlab_services.errors import ZoneError

_HEADER = struct.Struct("!HHHHHH")
_FIXED = struct.Struct("!HHIH")


class Unpacked(Struct, frozen=True):
    """One record. `data` are its octets with the names in them whole."""

    owner: Name
    type: str
    cls: int
    ttl: int
    data: bytes


class Message(Struct, frozen=True):
    """The header, the questions (name, type) and the answer section of a message."""

    id: int
    flags: int
    questions: list[tuple[Name, str]]
    answers: list[Unpacked]

    @property
    def rcode(self) -> int:
        """The error code, 0 for none."""
        return self.flags & 0xF


def unpack(packet: bytes) -> Message:
    """The message in `packet`. Raises ValueError."""
    try:
        identifier, flags, asked, answered, *_ = _HEADER.unpack_from(packet)
        offset = _HEADER.size
        questions: list[tuple[Name, str]] = []
        for _ in range(asked):
            name, offset = read_name_at(packet, offset)
            kind, _ = struct.unpack_from("!HH", packet, offset)
            questions.append((name, type_name(kind)))
            offset += 4
        answers: list[Unpacked] = []
        for _ in range(answered):
            record, offset = _record(packet, offset)
            answers.append(record)
    except (struct.error, IndexError, ZoneError) as error:
        raise ValueError(f"no message: {error}") from error
    return Message(identifier, flags, questions, answers)


def read_name_at(packet: bytes, offset: int) -> tuple[Name, int]:
    """A name, and the offset behind it. Raises ValueError, IndexError."""
    labels: list[bytes] = []
    size, end, lowest = 1, 0, offset
    while length := packet[offset]:
        if length >= 0xC0:
            end = end or offset + 2
            offset = (length & 0x3F) << 8 | packet[offset + 1]
            if offset >= lowest:
                raise ValueError("a pointer that does not lead backwards")
            lowest = offset
            continue
        size += length + 1
        if length > 63 or size > 255:
            raise ValueError("no name")
        label = packet[offset + 1 : offset + 1 + length]
        labels.append(label)
        offset += 1 + length
    return tuple(labels), end or offset + 1


def _record(packet: bytes, offset: int) -> tuple[Unpacked, int]:
    owner, offset = read_name_at(packet, offset)
    number, cls, ttl, length = _FIXED.unpack_from(packet, offset)
    start = offset + _FIXED.size
    end = start + length
    if end > len(packet):
        raise ValueError("the record is cut short")
    kind = type_name(number)
    return Unpacked(owner, kind, cls, ttl, _plain(kind, packet[:end], start)), end


def _plain(kind: str, packet: bytes, start: int) -> bytes:
    """The data from `start` to the end, with the names in them whole."""
    fields = PLAIN.get(kind) or FIELDS.get(kind, ())
    if "name" not in fields:
        return packet[start:]
    out, at = bytearray(), start
    for field in fields:
        if field == "name":
            name, end = read_name_at(packet, at)
            out += b"".join(bytes([len(label)]) + label for label in name) + b"\0"
        else:
            end = field_end(field, packet, at)
            out += packet[at:end]
        if end > len(packet):
            raise ValueError(f"{kind}: the data end within a field")
        at = end
    return bytes(out + packet[at:])
