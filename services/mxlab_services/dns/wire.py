"""DNS messages as an authoritative server reads and writes them (RFC 1035 §4, RFC 6891). Pure.

Reading never raises: a packet is a Query, an error to answer it with, or nothing to answer.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import struct
from collections.abc import Sequence

from dnslib import CLASS, RCODE
from dnslib.label import DNSBuffer, DNSLabel
from msgspec import Struct

from mxlab_services.dns.names import Name, fold
from mxlab_services.dns.records import Record
from mxlab_services.dns.rtypes import type_name, type_number
from mxlab_services.dns.zones import Result

UDP_SIZE = 1232  # bytes that we take, and the most that we send, by UDP (RFC 6891 §6.2.5)
PLAIN_SIZE = 512  # bytes by UDP without EDNS (RFC 1035 §4.2.1)
MESSAGE_SIZE = 65535  # bytes by TCP
IN, ANY_CLASS = 1, 255
QUERY, NOTIFY = 0, 4  # opcodes
TRANSFERS = ("AXFR", "IXFR")

FORMERR, NOTIMP, BADVERS = 1, 4, 16
_QR, _AA, _TC, _RD = 0x8000, 0x0400, 0x0200, 0x0100
_DO = 0x8000  # in the OPT's flags
_HEADER = struct.Struct("!HHHHHH")
_QUESTION = _OPTION = struct.Struct("!HH")
_RECORD = struct.Struct("!HHIH")  # what follows the owner: type, class, TTL, the data's length
_SOA, _OPT, _IXFR = 6, 41, 251


class Edns(Struct, frozen=True):
    """The OPT record of a query (RFC 6891 §6.1). `size` is what fits into a UDP reply.

    `sound`: there is one such record, at the root, and its options fill it exactly.
    """

    version: int
    size: int
    dnssec_ok: bool
    sound: bool = True


class Query(Struct, frozen=True):
    """One question, or a NOTIFY (RFC 1996), by its `opcode`. `name` is in the asker's case; `edns`
    is None without an OPT."""

    id: int
    name: Name
    type: int
    cls: int
    recursion: bool
    edns: Edns | None
    opcode: int = QUERY

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
    if opcode not in (QUERY, NOTIFY):  # whose first section may be no question (RFC 2136 §2.3)
        return Malformed(identifier, flags, NOTIMP, b"", edns)
    wrong = Malformed(identifier, flags, FORMERR, question, edns)
    if not whole or (edns is not None and not edns.sound):
        return wrong
    if questions != 1 or kind == _OPT:
        return wrong
    if opcode == NOTIFY:  # the new SOA may come along: a hint, and never believed (RFC 1996 §3.7)
        return wrong if kind != _SOA else Query(identifier, name, kind, cls, False, edns, opcode)
    # An incremental transfer is asked for with the SOA that one has (RFC 1995 §3).
    if answers or (authority and kind != _IXFR):
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


def _opt_bytes(edns: Edns, rcode: int = 0) -> bytes:
    """Our OPT, with the upper eight bits of the RCODE (RFC 6891 §6.1.3) and DO as it was asked
    (RFC 3225 §3)."""
    flags = rcode << 24 | (_DO if edns.dnssec_ok else 0)
    return struct.pack("!BHHIH", 0, _OPT, UDP_SIZE, flags, 0)


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
    known = result.authoritative and result.rcode in ("NOERROR", "NXDOMAIN")
    flags = _QR | query.opcode << 11 | rcode & 0xF
    flags |= (_TC if truncated else 0) | (_RD if query.recursion else 0)
    if known and query.cls != ANY_CLASS:  # RFC 1035 §6.2
        flags |= _AA
    opt = b"" if query.edns is None else _opt_bytes(query.edns, rcode >> 4)
    return _message(query, flags, (result.answers, result.authority, additional), opt)


def write_records(query: Query, records: Sequence[Record], *, question: bool) -> bytes:
    """One message of a transfer (RFC 5936 §2.2), the question in the first."""
    return _message(query, _QR | _AA, (records, (), ()), question=question)


def _message(
    query: Query,
    flags: int,
    sections: tuple[Sequence[Record], Sequence[Record], Sequence[Record]],
    opt: bytes = b"",
    *,
    question: bool = True,
) -> bytes:
    """A message with the records of its three sections, and `opt` behind them."""
    answers, authority, additional = map(len, sections)
    counts = (int(question), answers, authority, additional + bool(opt))
    buffer = _Buffer(_HEADER.pack(query.id, flags, *counts))
    buffer.offset = _HEADER.size
    asked, folded = DNSLabel(query.name), fold(query.name)
    if question:
        buffer.encode_name(asked)
        buffer.append(_QUESTION.pack(query.type, query.cls))
    for section in sections:
        for record in section:  # an owner in the asker's case where that is the name asked for
            buffer.encode_name(asked if record.owner == folded else DNSLabel(record.owner))
            buffer.append(_RECORD.pack(type_number(record.type), CLASS.IN, record.ttl, 0))
            begin = buffer.offset
            record.data.pack(buffer)
            buffer.update(begin - 2, "!H", buffer.offset - begin)
    return bytes(buffer.data) + opt
