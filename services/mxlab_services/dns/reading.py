"""What one message says about a name: records, a status, a name to ask for, or who knows. Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from dnslib import CLASS, QTYPE, RR, DNSRecord
from msgspec import Struct

from mxlab_services.dns.answers import Answer, Mx, Status
from mxlab_services.dns.names import ROOT, Name, fold, is_below, name_text
from mxlab_services.dns.query import rcode_text
from mxlab_services.dns.records import data_text
from mxlab_services.dns.referral import Referral, read_referral
from mxlab_services.dns.rtypes import type_number

MAX_TTL = 604800  # lab seconds: the longest that anything is kept (RFC 8767 §4)
MAX_NEGATIVE_TTL = 10800  # lab seconds (RFC 2308 §5)
FAILURE_TTL = 5.0  # lab seconds; RFC 9520 §3.2 wants between 1 s and 5 min


class Learnt(Struct, frozen=True):
    """What one message says about a name: records, or a status, or a name to ask for (`again`), or
    who knows (`referral`)."""

    name: Name
    ttl: float
    status: Status = "ok"
    records: tuple[RR, ...] = ()
    again: bool = False
    referral: Referral | None = None
    why: str = ""


def failure(name: Name, status: Status, why: str = "") -> Learnt:
    """A lookup that came to nothing for now."""
    return Learnt(name, FAILURE_TTL, status, why=why)


def read_answer(
    message: DNSRecord, name: Name, kind: str, cut: Name = ROOT, *, own: bool = False
) -> Learnt:
    """What the message says about `name`, after the CNAMEs in it. `cut` is where the zone begins
    of which its server was said to know: a referral leads further down, or nowhere.

    `own`: only that zone's own data count, with AA: an alias that leads out of it is asked for anew
    (RFC 2181 §5.4.1), and a server without authority is lame.
    """
    rcode = rcode_text(message)
    referral = read_referral(message, name)
    if referral is not None:
        if len(referral.cut) > len(cut):
            return Learnt(name, FAILURE_TTL, referral=referral)
        return failure(name, "servfail", f"{referral}, says its own server")
    if rcode not in ("NOERROR", "NXDOMAIN"):
        why = f"says {rcode}" if own else ""  # of one server, the status says it all
        return failure(name, "refused" if rcode == "REFUSED" else "servfail", why)
    if own and not message.header.aa:
        return failure(name, "servfail", "answers without authority")
    return _data(message, name, kind, cut if own else ROOT)


def _data(message: DNSRecord, name: Name, kind: str, within: Name) -> Learnt:
    ttl: float = MAX_TTL
    start = name
    seen = {name}
    while is_below(name, within) and (alias := _rrset(message, name, "CNAME")):
        ttl = min(ttl, alias[0].ttl)
        name = fold(alias[0].rdata.label.label)
        if name in seen:
            return failure(name, "servfail", f"{name_text(name)} is an alias of itself")
        seen.add(name)
    if not is_below(name, within):
        return Learnt(name, ttl, again=True)
    records = _rrset(message, name, kind)
    if records:
        return Learnt(name, min(ttl, *(record.ttl for record in records)), "ok", records)
    negative = _negative_ttl(message)
    rcode = rcode_text(message)
    if rcode == "NOERROR" and name != start and negative is None:
        return Learnt(name, ttl, again=True)
    # RFC 2308 §5: without an SOA a negative answer is not kept.
    return Learnt(name, min(ttl, negative or 0), "nodata" if rcode == "NOERROR" else "nxdomain")


def _rrset(message: DNSRecord, name: Name, kind: str) -> tuple[RR, ...]:
    return tuple(
        record
        for record in message.rr
        if record.rclass == CLASS.IN
        and record.rtype == type_number(kind)
        and fold(record.rname.label) == name
    )


def _negative_ttl(message: DNSRecord) -> int | None:
    for record in message.auth:
        if record.rtype == QTYPE.SOA:
            return int(min(record.ttl, record.rdata.times[4], MAX_NEGATIVE_TTL))
    return None


def answer_of(name: str, kind: str, step: Learnt) -> Answer:
    """The outcome of the lookup of `name` that ended with `step`."""
    canonical = bare(step.name)
    if kind == "MX":
        found = tuple(
            Mx(record.rdata.preference, bare(record.rdata.label.label)) for record in step.records
        )
        return Answer(name, kind, step.status, canonical, mx=found, why=step.why)
    addresses = tuple(data_text(record.rdata) for record in step.records)
    return Answer(name, kind, step.status, canonical, addresses=addresses, why=step.why)


def bare(name: Name) -> str:
    """The name without its final dot; the root is ""."""
    return name_text(name)[:-1]
