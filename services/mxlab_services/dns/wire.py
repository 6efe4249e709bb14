"""DNS messages as an authoritative server reads and writes them (RFC 1035 §4, RFC 6891). Pure.

Reading never raises: a packet is a Query, an error to answer it with, or nothing to answer.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import struct

from dnslib import CLASS, EDNS0, RCODE, RR, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSBuffer, DNSLabel
from msgspec import Struct

from mxlab_services.dns.names import Name, fold
from mxlab_services.dns.rdata import type_name, type_number
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import Result

UDP_SIZE = 1232  # bytes that we take, and the most that we send, by UDP (RFC 6891 §6.2.5)
PLAIN_SIZE = 512  # bytes by UDP without EDNS (RFC 1035 §4.2.1)
MESSAGE_SIZE = 65535  # bytes by TCP
IN, ANY_CLASS = 1, 255

FORMERR, NOTIMP, BADVERS = 1, 4, 16
_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_DO = 0x8000  # in the OPT's flags
_HEADER = struct.Struct("!HHHHHH")
_OPTION = struct.Struct("!HH")
_OPT, _IXFR = 41, 251


class Edns(Struct, frozen=True):
    """The OPT record of a query (RFC 6891 §6.1). `size` is what fits into a UDP reply.

    `sound`: there is one such record, at the root, and its options fill it exactly.
    """

    version: int
    size: int
    dnssec_ok: bool
    sound: bool = True


class Query(Struct, frozen=True):
    """One question. `name` is in the asker's case; `edns` is None without an OPT."""

    id: int
    name: Name
    type: int
    cls: int
    recursion: bool
    edns: Edns | None

    @property
    def size(self) -> int:
        """The bytes that fit into a UDP reply."""
        return self.edns.size if self.edns is not None else PLAIN_SIZE

    @property
    def type_name(self) -> str:
        """The type in its mnemonic form, or TYPE1234 (RFC 3597 §5)."""
        return type_name(self.type)


class Malformed(Struct, frozen=True):
    """A packet that deserves `rcode`: what is repeated in the reply, as far as it could be read.

    `question` is the question section as it came, `edns` its OPT.
    """

    id: int
    flags: int
    rcode: int
    question: bytes = b""
    edns: Edns | None = None


def read_query(packet: bytes) -> Query | Malformed | None:
    """The query in `packet`; or the error that it deserves; or None: stay silent.

    Silence is for what has no header, and for replies: answering them could go on forever.
    """
    if len(packet) < _HEADER.size:
        return None
    identifier, flags, questions, answers, authority, additional = _HEADER.unpack_from(packet)
    if flags & _QR:
        return None
    opcode = flags >> 11 & 0xF
    question, edns = b"", None
    name: Name = ()
    kind = cls = 0
    whole = False
    offset = _HEADER.size
    try:
        if questions == 1:
            name, offset = _read_name(packet, offset)
            kind, cls = struct.unpack_from("!HH", packet, offset)
            offset += 4
            question = packet[_HEADER.size : offset]
        if questions <= 1:
            for _ in range(answers + authority):
                offset = _read_record(packet, offset)[-1]
            edns, offset = _read_edns(packet, offset, additional)
            whole = offset == len(packet)
    except (struct.error, IndexError, ValueError):
        whole = False
    if opcode:  # whose first section may be no question (RFC 2136 §2.3)
        return Malformed(identifier, flags, NOTIMP, b"", edns)
    wrong = Malformed(identifier, flags, FORMERR, question, edns)
    if not whole or (edns is not None and not edns.sound):
        return wrong
    # An incremental transfer is asked for with the SOA that one has (RFC 1995 §3).
    if questions != 1 or answers or (authority and kind != _IXFR) or kind == _OPT:
        return wrong
    return Query(identifier, name, kind, cls, bool(flags & _RD), edns)


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


def _skip_name(packet: bytes, offset: int) -> int:
    """The offset behind a name whose end may be a pointer; where that leads is nothing to us."""
    while length := packet[offset]:
        if length >= 0xC0:
            return offset + 2
        if length > 63:
            raise ValueError("no label of a known type")  # RFC 6891 §5
        offset += 1 + length
    return offset + 1


def _read_record(packet: bytes, offset: int) -> tuple[bool, int, int, int, bytes, int]:
    """Whether its owner is the root; type, class, TTL, data; and the offset behind it."""
    root = packet[offset] == 0
    offset = _skip_name(packet, offset)
    kind, cls, ttl, length = struct.unpack_from("!HHIH", packet, offset)
    end = offset + 10 + length
    if end > len(packet):
        raise ValueError("cut short")
    return root, kind, cls, ttl, packet[offset + 10 : end], end


def _read_edns(packet: bytes, offset: int, records: int) -> tuple[Edns | None, int]:
    """The OPT among the additional records, which are passed by otherwise, and their end.

    Where they cannot be read to their end, what was found before, and no end.
    """
    found: Edns | None = None
    for _ in range(records):
        try:
            root, kind, cls, ttl, data, offset = _read_record(packet, offset)
        except (struct.error, IndexError, ValueError):
            return found, -1
        if kind == _OPT:
            version = ttl >> 16 & 0xFF  # what an unknown version holds is not ours to judge
            sound = root and found is None and (version > 0 or _fits(data))  # RFC 6891 §6.1.1
            size = min(max(cls, PLAIN_SIZE), UDP_SIZE)
            found = Edns(version, size, bool(ttl & _DO), sound)
    return found, offset


def _fits(data: bytes) -> bool:
    """Whether the options in an OPT's data fill it exactly (RFC 6891 §6.1.2)."""
    at = 0
    while at + _OPTION.size <= len(data):
        at += _OPTION.size + _OPTION.unpack_from(data, at)[1]
    return at == len(data)


def write_error(error: Malformed) -> bytes:
    """The reply with nothing but the error, the question as it came, and an OPT to an OPT
    (RFC 6891 §6.1.1, §7)."""
    flags = _QR | error.flags & (0x7800 | _RD) | error.rcode
    counts = (int(bool(error.question)), 0, 0, int(error.edns is not None))
    opt = _opt_bytes(error.edns) if error.edns is not None else b""
    return _HEADER.pack(error.id, flags, *counts) + error.question + opt


def _opt_bytes(edns: Edns) -> bytes:
    return struct.pack("!BHHIH", 0, _OPT, UDP_SIZE, _DO if edns.dnssec_ok else 0, 0)


def write_reply(query: Query, result: Result, limit: int) -> tuple[bytes, bool]:
    """The reply of at most `limit` bytes, and whether it was truncated.

    Additional records are dropped first, without TC (RFC 2181 §9), unless they are a referral's
    glue, without which it leads nowhere (RFC 9471 §3.1); then all, with TC.
    """
    reply = _pack(query, result, result.additional, truncated=False)
    if len(reply) > limit and result.additional and result.authoritative:
        reply = _pack(query, result, (), truncated=False)
    if len(reply) > limit:
        empty = Result(result.rcode, authoritative=result.authoritative)
        return _pack(query, empty, (), truncated=True), True
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
    known = result.authoritative and result.rcode in ("NOERROR", "NXDOMAIN")
    header.aa = int(known and query.cls != ANY_CLASS)  # RFC 1035 §6.2
    header.rcode = rcode & 0xF
    reply = DNSRecord(header, q=DNSQuestion(DNSLabel(query.name), query.type, query.cls))
    reply.add_answer(*(_rr(record, query) for record in result.answers))
    reply.add_auth(*(_rr(record, query) for record in result.authority))
    reply.add_ar(*(_rr(record, query) for record in additional))
    if query.edns is not None:
        flags = "do" if query.edns.dnssec_ok else ""  # RFC 3225 §3
        reply.add_ar(EDNS0(flags=flags, udp_len=UDP_SIZE, ext_rcode=rcode >> 4))
    reply.set_header_qa()
    buffer = _Buffer()
    for part in (reply.header, *reply.questions, *reply.rr, *reply.auth, *reply.ar):
        part.pack(buffer)
    return bytes(buffer.data)


def _rr(record: Record, query: Query) -> RR:
    """The record, its owner in the asker's case where that is the name asked for."""
    owner = query.name if record.owner == fold(query.name) else record.owner
    return RR(DNSLabel(owner), type_number(record.type), CLASS.IN, record.ttl, record.data)
