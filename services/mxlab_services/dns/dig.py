"""DNS answers in the form that dig prints, `+trace` among them. Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Sequence

from dnslib import QTYPE, RR
from msgspec import Struct

from mxlab_services.control.replies import DigReport
from mxlab_services.dns.names import Name, name_text
from mxlab_services.dns.query import DnsReply, rcode_text
from mxlab_services.dns.records import answer_text
from mxlab_services.dns.rtypes import type_name


class Exchanged(Struct, frozen=True):
    """One question of a walk: who was asked for what, and the reply, None for silence."""

    server: str
    address: str
    port: int
    name: Name
    kind: str
    reply: DnsReply | None
    milliseconds: float


def dig_report(
    head: str, server: tuple[str, int], reply: DnsReply | None, milliseconds: float
) -> DigReport:
    """One answer; `head` is its first line."""
    if reply is None:
        text = f";; no servers could be reached: {server[0]}#{server[1]} did not answer\n"
        return DigReport("TIMEOUT", [], [], head + text, milliseconds)
    message = reply.message
    return DigReport(
        rcode_text(message),
        [_line(record) for record in message.rr],
        [_line(record) for record in message.auth],
        head + _text(reply, milliseconds, server),
        milliseconds,
    )


def trace_report(head: str, seen: Sequence[Exchanged], end: str, milliseconds: float) -> DigReport:
    """A walk from the root, a paragraph for each question; `end` says what it came to."""
    parts = [_paragraph(one) for one in seen]
    text = head + "\n" + "\n".join(parts) + (f"\n;; {end}\n" if end else "")
    last = next((one.reply for one in reversed(seen) if one.reply is not None), None)
    if last is None:
        return DigReport("TIMEOUT", [], [], text, milliseconds)
    message = last.message
    return DigReport(
        rcode_text(message),
        [_line(record) for record in message.rr],
        [_line(record) for record in message.auth],
        text,
        milliseconds,
    )


def _paragraph(one: Exchanged) -> str:
    at = f"{one.address}#{one.port}({one.server})"
    asked = f"{name_text(one.name)} {one.kind}"
    if one.reply is None:
        return f";; {asked}: no answer from {at} in {one.milliseconds:.0f} ms\n"
    message = one.reply.message
    lines = ["\t".join(_line(rr).split(" ", 4)) for rr in (message.rr or message.auth)]
    lines += [
        f";; glue: {_line(rr)}" for rr in message.ar if rr.rtype != QTYPE.OPT and not message.rr
    ]
    said = "" if message.header.rcode == 0 else f", {rcode_text(message)}"
    size, spent = one.reply.size, one.milliseconds
    lines.append(f";; {asked}: received {size} bytes from {at} in {spent:.0f} ms{said}")
    return "\n".join(lines) + "\n"


def _line(record: RR) -> str:
    if record.rtype == QTYPE.OPT:
        return f"; EDNS: version: {record.edns_ver}, flags:; udp: {record.edns_len}"
    owner = name_text(record.rname.label)
    kind = type_name(record.rtype)
    return f"{owner} {record.ttl} IN {kind} {answer_text(kind, record.rdata)}"


def _text(reply: DnsReply, milliseconds: float, server: tuple[str, int]) -> str:
    message = reply.message
    header = message.header
    flags = [flag for flag in ("qr", "aa", "tc", "rd", "ra") if getattr(header, flag)]
    extra = [record for record in message.ar if record.rtype != QTYPE.OPT]
    lines = [
        f";; ->>HEADER<<- opcode: QUERY, status: {rcode_text(message)}, id: {reply.id}",
        f";; flags: {' '.join(flags)}; QUERY: {header.q}, ANSWER: {header.a}, "
        f"AUTHORITY: {header.auth}, ADDITIONAL: {header.ar}",
        "",
    ]
    if len(extra) < len(message.ar):
        options = [_line(record) for record in message.ar if record.rtype == QTYPE.OPT]
        lines += [";; OPT PSEUDOSECTION:", *options, ""]
    lines.append(";; QUESTION SECTION:")
    lines += [
        f";{name_text(question.qname.label)}\t\tIN\t{type_name(question.qtype)}"
        for question in message.questions
    ]
    sections = ("ANSWER", message.rr), ("AUTHORITY", message.auth), ("ADDITIONAL", extra)
    for title, records in sections:
        if records:
            lines += ["", f";; {title} SECTION:"]
            lines += ["\t".join(_line(record).split(" ", 4)) for record in records]
    lines += [
        "",
        f";; Query time: {milliseconds:.0f} msec",
        f";; SERVER: {server[0]}#{server[1]}({server[0]}) ({reply.transport.upper()})",
        f";; MSG SIZE  rcvd: {reply.size}",
    ]
    return "\n".join(lines) + "\n"
