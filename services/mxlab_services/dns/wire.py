"""DNS messages as an authoritative server reads and writes them (RFC 1035 §4, RFC 6891). Pure.

Reading never raises: a packet is a Query, an rcode to answer it with, or nothing to answer.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import struct

from dnslib import CLASS, EDNS0, QTYPE, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSBuffer, DNSLabel
from msgspec import Struct

from mxlab_services.dns.names import Name, fold
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import Result

UDP_SIZE = 1232  # bytes that we take, and the most that we send, by UDP (RFC 6891 §6.2.5)
PLAIN_SIZE = 512  # bytes by UDP without EDNS (RFC 1035 §4.2.1)
MESSAGE_SIZE = 65535  # bytes by TCP

FORMERR, NOTIMP, BADVERS = 1, 4, 16
_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_HEADER = struct.Struct("!HHHHHH")
_OPT = 41


class Query(Struct, frozen=True):
    """One question. `name` is in the asker's case; `size` is what fits into a UDP reply."""

    id: int
    name: Name
    type: int
    cls: int
    recursion: bool
    edns: int | None  # the EDNS version, None without EDNS
    size: int

    @property
    def type_name(self) -> str:
        """The type in its mnemonic form, or TYPE1234 (RFC 3597 §5)."""
        return type_name(self.type)


def type_name(number: int) -> str:
    """A record type's mnemonic, or TYPE1234 (RFC 3597 §5)."""
    return str(QTYPE.forward.get(number, f"TYPE{number}"))


def read_query(packet: bytes) -> Query | int | None:
    """The query in `packet`; or the rcode that it deserves; or None: stay silent.

    Silence is for what has no header, and for replies: answering them could go on forever.
    """
    if len(packet) < _HEADER.size:
        return None
    identifier, flags, questions, answers, authority, additional = _HEADER.unpack_from(packet)
    if flags & _QR:
        return None
    if flags >> 11 & 0xF:
        return NOTIMP
    if questions != 1 or answers or authority:
        return FORMERR
    try:
        name, offset = _read_name(packet, _HEADER.size)
        kind, cls = struct.unpack_from("!HH", packet, offset)
        edns, size = _read_edns(packet, offset + 4, additional)
    except (struct.error, IndexError, ValueError):
        return FORMERR
    return Query(identifier, name, kind, cls, bool(flags & _RD), edns, size)


def _read_name(packet: bytes, offset: int) -> tuple[Name, int]:
    """A name without compression, and the offset behind it."""
    labels = []
    start = offset
    while length := packet[offset]:
        if length > 63 or offset + length - start > 253:
            raise ValueError("no plain name")
        labels.append(packet[offset + 1 : offset + 1 + length])
        offset += 1 + length
    return tuple(labels), offset + 1


def _read_edns(packet: bytes, offset: int, records: int) -> tuple[int | None, int]:
    """EDNS version and UDP size from the additional records; anything else there is passed by."""
    version: int | None = None
    size = PLAIN_SIZE
    for _ in range(records):
        owner, offset = _read_name(packet, offset)
        kind, cls, ttl, length = struct.unpack_from("!HHIH", packet, offset)
        offset += 10 + length
        if offset > len(packet):
            raise ValueError("cut short")
        if kind == _OPT:
            if owner or version is not None:
                raise ValueError("a second OPT, or one with a name")  # RFC 6891 §6.1.1
            version = ttl >> 16 & 0xFF
            size = min(max(cls, PLAIN_SIZE), UDP_SIZE)
    return version, size


def write_error(packet: bytes, rcode: int) -> bytes:
    """A reply that is a header only, for a packet whose question cannot be read."""
    identifier, flags = struct.unpack_from("!HH", packet)
    return _HEADER.pack(identifier, _QR | flags & (0x7800 | _RD) | rcode, 0, 0, 0, 0)


def write_reply(query: Query, result: Result, limit: int) -> tuple[bytes, bool]:
    """The reply of at most `limit` bytes, and whether it was truncated.

    Additional records are dropped first, without TC (RFC 2181 §9); then all, with TC.
    """
    reply = _pack(query, result, result.additional, truncated=False)
    if len(reply) > limit and result.additional:
        reply = _pack(query, result, (), truncated=False)
    if len(reply) > limit:
        return _pack(query, Result(result.rcode), (), truncated=True), True
    return reply, False


class _Buffer(DNSBuffer):
    """Compresses names only while a pointer's 14 bits reach (RFC 1035 §4.1.4)."""

    def encode_name(self, name: DNSLabel) -> None:
        if self.offset > 0x3FFF - 256:
            self.encode_name_nocompress(name)
        else:
            super().encode_name(name)


def _pack(
    query: Query, result: Result, additional: tuple[Record, ...], *, truncated: bool
) -> bytes:
    rcode = BADVERS if result.rcode == "BADVERS" else int(getattr(RCODE, result.rcode))
    header = DNSHeader(id=query.id, bitmap=_QR, rd=int(query.recursion), tc=int(truncated))
    header.aa = int(result.rcode in ("NOERROR", "NXDOMAIN"))
    header.rcode = rcode & 0xF
    reply = DNSRecord(header, q=DNSQuestion(DNSLabel(query.name), query.type, query.cls))
    reply.add_answer(*(_rr(record, query) for record in result.answers))
    reply.add_auth(*(_rr(record, query) for record in result.authority))
    reply.add_ar(*(_rr(record, query) for record in additional))
    if query.edns is not None:
        reply.add_ar(EDNS0(udp_len=UDP_SIZE, ext_rcode=rcode >> 4))
    reply.set_header_qa()
    buffer = _Buffer()
    for part in (reply.header, *reply.questions, *reply.rr, *reply.auth, *reply.ar):
        part.pack(buffer)
    return bytes(buffer.data)


def _rr(record: Record, query: Query) -> RR:
    """The record, its owner in the asker's case where that is the name asked for."""
    owner = query.name if record.owner == fold(query.name) else record.owner
    return RR(DNSLabel(owner), int(getattr(QTYPE, record.type)), CLASS.IN, record.ttl, record.data)
