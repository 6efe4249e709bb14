"""The questions that name servers told of, as UDP and TCP: the messages as they were on the wire,
and, of old recordings, rebuilt from what is told of them."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import NamedTuple

from dnslib import EDNS0, QTYPE, RCODE, RR, DNSError, DNSHeader, DNSQuestion, DNSRecord

from mxlab.history.trace import Trace
from mxlab.packets import remarks
from mxlab.packets.addresses import LabAddresses
from mxlab.packets.frames import Port, udp_frame
from mxlab.packets.stream import STEP, End, Frame, TcpStream
from mxlab_services import events
from mxlab_services.dns.rtypes import type_number

PORT = 53
KEPT = 10.0  # real seconds that a connection may be silent and still be the same
_REBUILT = "made up: the message, but for its question and answers; the port and the id"
_FIRST_MADE_UP = 40000
_NOTIFY = 4


class AskedQuestion(NamedTuple):
    """One question at a name server, at a moment of lab time. Without `told` it was never answered:
    `silenced` is the fault."""

    at: float
    node: str
    peer: str
    told: events.DnsQuery | None
    silenced: events.FaultStruck | None = None


def questions(trace: Trace, faults: remarks.FaultsTold) -> list[AskedQuestion]:
    """All of them, in order of time."""
    found = [
        AskedQuestion(event.at, event.node, event.body.peer, event.body)
        for event in trace.events()
        if isinstance(event.body, events.DnsQuery)
    ]
    found += [AskedQuestion(at, node, one.peer, None, one) for at, node, one in faults.silenced()]
    return sorted(found, key=lambda one: one.at)


def exchanges(found: Sequence[AskedQuestion], scale: float) -> list[list[AskedQuestion]]:
    """Those that went together: over one TCP connection; others each for itself."""
    groups: list[list[AskedQuestion]] = []
    open_: dict[tuple[str, str, int], list[AskedQuestion]] = {}
    for one in found:
        key = one.node, one.peer, one.told.port if one.told else 0
        group = open_.get(key)
        if one.told is None or one.told.transport == "udp" or not one.told.port:
            groups.append([one])
        elif group is not None and one.at - group[-1].at <= KEPT * scale:
            group.append(one)
        else:
            open_[key] = group = [one]
            groups.append(group)
    return groups


class NameWire:
    """Turns questions into frames."""

    def __init__(self, addresses: LabAddresses, faults: remarks.FaultsTold, scale: float) -> None:
        self._addresses, self._faults, self._scale = addresses, faults, scale
        self._made_up = 0

    def frames(self, group: Sequence[AskedQuestion]) -> list[Frame]:
        """Those of questions that went together."""
        first = group[0]
        port = (first.told.port if first.told else 0) or self._next_port()
        server = self._addresses.own(first.node, first.peer, PORT)
        client = self._addresses.end(first.peer, port)
        if first.told is not None and first.told.transport == "tcp":
            return self._tcp(client, server, group)
        asked, replied, made_up = self._messages(first)
        comments = *self._of_question(first), *made_up
        frames = [_datagram(client, server, _nanoseconds(first.at), asked, comments)]
        at = _nanoseconds(first.at + (first.told.delay if first.told else 0) * self._scale)
        for reply in replied[:1]:
            comments = self._of_answer(first), *made_up
            frames.append(_datagram(server, client, at + STEP, reply, comments))
        return frames

    def _tcp(self, client: End, server: End, group: Sequence[AskedQuestion]) -> list[Frame]:
        stream = TcpStream(client, server)
        at = _nanoseconds(group[0].at)
        stream.open(at, *self._of_question(group[0]))
        for one in group:
            assert one.told is not None
            asked, replied, made_up = self._messages(one)
            at = _nanoseconds(one.at)
            stream.send("client", at, _framed(asked), *self._of_question(one), *made_up)
            at = _nanoseconds(one.at + one.told.delay * self._scale)
            comments = self._of_answer(one), *made_up
            for reply in replied:
                stream.send("server", at, _framed(reply), *comments)
                comments = ()
            if one.told.left_out:
                stream.elided("server", at, one.told.left_out + 2, "the rest is not in the record")
        stream.close("client", at, "made up: who closed it is not told")
        return stream.take()

    def _messages(self, one: AskedQuestion) -> tuple[bytes, list[bytes], tuple[str, ...]]:
        """What was asked and replied, and whether that is made up."""
        told = one.told
        if told is not None and told.asked:
            try:
                return b64decode(told.asked), list(map(b64decode, told.replied)), ()
            except binascii.Error:
                pass  # not as it was written: rebuilt, as if it were not there
        self._made_up += 1
        name, _, kind = (
            (told.name, "", told.type) if told else one.silenced.place.rpartition(" ")  # type: ignore[union-attr]
        )
        asked, reply = _rebuilt(self._made_up & 0xFFFF, name, kind, told)
        return asked, [reply] if told else [], (_REBUILT,)

    def _next_port(self) -> int:
        return _FIRST_MADE_UP + self._made_up % 20_000

    def _of_question(self, one: AskedQuestion) -> list[str]:
        if one.told is None:
            assert one.silenced is not None
            fault = f"fault {one.silenced.fault} ({one.silenced.name})"
            return [f"no answer: {fault} struck at {one.node}; {remarks.of_question('')}"]
        what = f"{one.told.name} {one.told.type}"
        return [f"{one.peer} asks {one.node}: {what}; {remarks.of_question(one.told.type)}"]

    def _of_answer(self, one: AskedQuestion) -> str:
        assert one.told is not None
        struck = self._faults.strikes(one.node, one.peer, one.at, one.at)
        texts = [f"{one.told.rcode}; {remarks.of_answer(one.told)}", *(text for _, text in struck)]
        return "; ".join([*texts, *self._faults.at(one.at)])


def _rebuilt(
    number: int, name: str, kind: str, told: events.DnsQuery | None
) -> tuple[bytes, bytes]:
    """A question and its answer, from what is told."""
    opcode = _NOTIFY if kind == "NOTIFY" else 0
    asked_for = DNSQuestion(name, type_number("SOA" if opcode else kind) or QTYPE.A)
    header = DNSHeader(id=number, bitmap=opcode << 11, rd=0)
    query = DNSRecord(header, q=asked_for)
    if not opcode and (told is None or told.transport == "udp"):
        query.add_ar(EDNS0(udp_len=1232))
    if told is None:
        return bytes(query.pack()), b""
    code = getattr(RCODE, told.rcode, 0) & 0xF
    flags = 0x8400 | opcode << 11 | (0x0200 if told.truncated else 0) | code
    reply = DNSRecord(DNSHeader(id=number, bitmap=flags), q=asked_for)
    for answer in () if told.truncated else told.answers:
        try:
            reply.add_answer(*RR.fromZone(answer))
        except (DNSError, ValueError, LookupError):
            continue  # one that only the lab's own reader of zones knows
    return bytes(query.pack()), bytes(reply.pack())


def _datagram(source: End, target: End, at: int, data: bytes, comments: tuple[str, ...]) -> Frame:
    frame, size = udp_frame(Port(*source.port), Port(*target.port), data)
    return Frame(at, source.node, frame, size, comments)


def _framed(message: bytes) -> bytes:
    """A message with its length in front (RFC 1035 §4.2.2)."""
    return len(message).to_bytes(2) + message


def _nanoseconds(at: float) -> int:
    return round(at * 1e9)
