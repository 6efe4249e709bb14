"""Zone cuts (RFC 1034 §4.2.1): referrals by the server, followed by the resolver in the lab."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dns.flags
import dns.message
import dns.rcode
import pytest

from mxlab_services.control.requests import ZoneUpdate
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.answers import Mx
from mxlab_services.dns.resolver import StubResolver
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from mxlab_services.errors import ZoneError
from tests.support.dns_lab import Emitted
from tests.support.fakes import StillClock

HEAD = "$TTL 300\n@ IN SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\n"
TOP = (
    HEAD
    + """
ns A 127.0.0.1
@ MX 10 mail.sub
sub NS ns.sub
sub NS ns.away.test.
sub TXT "hidden"
sub DS 1 8 99 00112233
ns.sub A 127.0.0.2
mail.sub A 10.0.0.9
into CNAME host.sub
deep.er.sub NS ns.deep.er.sub
ns.deep.er.sub A 10.0.0.8
*.wild MX 10 ns
cut.wild NS ns.cut.wild
ns.cut.wild A 10.0.0.7
bare NS ns.bare
child NS ns
"""
)
CHILD = HEAD + "ns A 127.0.0.1\nhost A 10.0.0.70\n"


def server() -> DnsServer:
    zones = Zones()
    zones.replace("example.test", TOP)
    zones.replace("child.example.test", CHILD)
    return DnsServer(zones, Emitted())


def ask(ours: DnsServer, name: str, kind: str, payload: int = 0) -> dns.message.Message:
    query = dns.message.make_query(name, kind, use_edns=bool(payload), payload=payload)
    reply = dns.message.from_wire(ours.respond(query.to_wire(), "udp", "192.0.2.1"))
    assert query.is_response(reply)
    return reply


def lines(reply: dns.message.Message) -> dict[str, list[str]]:
    return {
        section: sorted(
            line for rrset in getattr(reply, section) for line in str(rrset).splitlines()
        )
        for section in ("answer", "authority", "additional")
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("host.sub.example.test", "A"),  # the issue's own
        ("host.sub.example.test", "MX"),
        ("x.y.z.sub.example.test", "A"),
        ("sub.example.test", "A"),
        ("sub.example.test", "NS"),
        ("sub.example.test", "SOA"),
        ("sub.example.test", "TXT"),  # data at the cut
        ("sub.example.test", "ANY"),
        ("mail.sub.example.test", "A"),  # data below it
        ("ns.sub.example.test", "A"),  # the glue itself
        ("x.deep.er.sub.example.test", "A"),  # a cut below a cut is not ours
        ("x.sub.example.test", "DS"),  # a DS is the parent's only at the cut
        ("SUB.Example.Test", "MX"),
    ],
)
def test_at_and_below_a_cut_the_answer_is_a_referral(name: str, kind: str) -> None:
    reply = ask(server(), name, kind)
    assert reply.rcode() == dns.rcode.NOERROR
    assert not reply.flags & dns.flags.AA
    found = lines(reply)
    assert found["answer"] == []
    assert [line.lower() for line in found["authority"]] == [
        "sub.example.test. 300 in ns ns.away.test.",
        "sub.example.test. 300 in ns ns.sub.example.test.",
    ]
    assert found["additional"] == ["ns.sub.example.test. 300 IN A 127.0.0.2"]


def test_the_ds_at_a_cut_is_ours() -> None:
    reply = ask(server(), "sub.example.test", "DS")
    assert reply.flags & dns.flags.AA
    assert lines(reply)["answer"] == ["sub.example.test. 300 IN DS 1 8 99 00112233"]
    none = ask(server(), "bare.example.test", "DS")
    assert none.flags & dns.flags.AA
    assert (none.rcode(), len(none.authority)) == (dns.rcode.NOERROR, 1)
    # A zone of ours begins there: the parent is asked all the same (RFC 4035 §3.1.4.1).
    above = ask(server(), "child.example.test", "DS")
    assert str(above.authority[0].name) == "example.test."


def test_a_zone_of_ours_answers_below_the_cut_that_leads_to_it() -> None:
    reply = ask(server(), "host.child.example.test", "A")
    assert reply.flags & dns.flags.AA
    assert lines(reply)["answer"] == ["host.child.example.test. 300 IN A 10.0.0.70"]


def test_an_alias_that_leads_below_a_cut_comes_with_the_referral() -> None:
    reply = ask(server(), "into.example.test", "A")
    assert reply.flags & dns.flags.AA  # the alias is ours (RFC 1035 §4.1.1)
    assert lines(reply)["answer"] == ["into.example.test. 300 IN CNAME host.sub.example.test."]
    assert len(lines(reply)["authority"]) == 2


def test_a_cut_below_a_wildcard_is_no_wildcards() -> None:
    ours = server()
    assert ask(ours, "x.wild.example.test", "MX").answer
    for name in ("cut.wild.example.test", "x.cut.wild.example.test"):
        assert not ask(ours, name, "MX").flags & dns.flags.AA


def test_glue_helps_a_referral_only() -> None:
    found = lines(ask(server(), "example.test", "MX"))
    assert found["answer"] == ["example.test. 300 IN MX 10 mail.sub.example.test."]
    assert found["additional"] == []  # mail.sub is not ours to tell of


def test_a_referral_whose_glue_does_not_fit_is_truncated() -> None:
    """RFC 9471 §3.1: without it, nobody could go on, nor know that it was cut off."""
    zones = Zones()
    names = [f"ns-with-quite-a-long-name-{n}.sub" for n in range(12)]
    text = "\n".join(f"sub NS {n}\n{n} A 10.0.0.1\n{n} AAAA 2001:db8::1" for n in names)
    zones.replace("example.test", f"{HEAD}ns A 10.0.0.1\n{text}")
    ours = DnsServer(zones, Emitted())
    small = ask(ours, "x.sub.example.test", "A")
    assert small.flags & dns.flags.TC
    assert not small.flags & dns.flags.AA
    assert not small.authority
    large = ask(ours, "x.sub.example.test", "A", payload=1232)
    assert (len(large.authority[0]), len(large.additional)) == (12, 24)


async def test_zone_add_tells_what_is_strange_about_a_cut() -> None:
    ours = server()
    controls = Controls()
    ours.controls(controls)
    report = await controls(ZoneUpdate("example.test", ["late.sub MX 10 ns"], []))
    assert set(report.warnings) == {
        'sub.example.test. TXT: never answered, since sub.example.test. is another zone\'s '
        "(RFC 1034 §4.2.1)",
        "mail.sub.example.test. A: never answered, since sub.example.test. is another zone's "
        "(RFC 1034 §4.2.1)",
        "deep.er.sub.example.test. NS: never answered, since sub.example.test. is another zone's "
        "(RFC 1034 §4.2.1)",
        "late.sub.example.test. MX: never answered, since sub.example.test. is another zone's "
        "(RFC 1034 §4.2.1)",
        "bare.example.test. NS ns.bare.example.test. has no address here, so nobody can find it "
        "(RFC 1034 §4.2.1)",
    }  # fmt: skip
    mended = ["ns.bare A 10.0.0.1", "alias CNAME ns", "odd NS alias", "ns DS 1 8 2 00"]
    wrong = ["@ MX 10 mail.sub", "sub TXT", "mail.sub A", "late.sub MX", "deep.er.sub NS"]
    report = await controls(ZoneUpdate("example.test", mended, [*wrong, "ns.deep.er.sub A"]))
    assert set(report.warnings) == {
        "odd.example.test. NS alias.example.test. is a CNAME (RFC 2181 §10.3)",
        "ns.example.test. has a DS record, and is no zone cut (RFC 4035 §2.4)",
    }
    with pytest.raises(ZoneError, match="no wildcard delegates"):
        await controls(ZoneUpdate("example.test", ["*.x NS ns"], []))
    with pytest.raises(ZoneError, match="CNAME beside other data"):
        await controls(ZoneUpdate("example.test", ["sub CNAME ns"], []))


# --- the resolver ---------------------------------------------------------------------------------

SUB = HEAD + "@ NS ns.away.test.\nns A 127.0.0.2\n@ MX 5 mail\nmail A 10.0.0.5\n"
SUB += "up CNAME www.other.test.\n"
OTHER = HEAD + "ns A 127.0.0.1\nwww A 10.0.0.6\n"


@asynccontextmanager
async def two_servers(
    top: str = TOP, sub: str = SUB, networks: tuple[str, ...] = ("127.0.0.0/8",)
) -> AsyncIterator[StubResolver]:
    """The lab's server at 127.0.0.1, that of the zone below at 127.0.0.2, on one port."""
    upper, lower = Zones(), Zones()
    upper.replace("example.test", top)
    upper.replace("other.test", OTHER)
    lower.replace("sub.example.test", sub)
    first, second = DnsServer(upper, Emitted()), DnsServer(lower, Emitted())
    await first.start("127.0.0.1", 0)
    await second.start("127.0.0.2", first.port)
    try:
        yield StubResolver(
            ("127.0.0.1", first.port), StillClock(), random.Random(1), Emitted(), (0.3,),
            networks=networks,
        )  # fmt: skip
    finally:
        await first.close()
        await second.close()


async def test_a_referral_is_followed_to_a_server_of_the_lab() -> None:
    async with two_servers() as resolver:
        assert (await resolver.mx("sub.example.test")).mx == (Mx(5, "mail.sub.example.test"),)
        assert (await resolver.addresses("mail.sub.example.test")).addresses == ("10.0.0.5",)
        missing = await resolver.mx("nobody.sub.example.test")
        assert (missing.status, missing.temporary) == ("nxdomain", False)  # its own server says so
        into = await resolver.addresses("into.example.test")
        assert (into.status, into.canonical) == ("nxdomain", "host.sub.example.test")
        assert (await resolver.addresses("up.sub.example.test")).addresses == ("10.0.0.6",)
        assert (await resolver.mx("sub.example.test")).cached


async def test_a_server_without_glue_is_looked_up() -> None:
    top = HEAD + "ns A 127.0.0.1\nhelper A 127.0.0.2\nsub NS helper.example.test.\n"
    no_glue = top.replace("helper A 127.0.0.2", "helper A 127.0.0.9\nhelper A 127.0.0.2")
    for text in (top, no_glue, top.replace("sub NS helper", "sub NS ns.other\nsub NS helper")):
        async with two_servers(text) as resolver:
            assert (await resolver.mx("sub.example.test")).mx, text


@pytest.mark.parametrize(
    ("cut", "networks", "why"),
    [
        ("sub NS ns.sub", ("127.0.0.0/8",), "no server of the lab's"),  # no glue
        ("sub NS ns.sub\nns.sub A 192.0.2.1", ("127.0.0.0/8",), "no server of the lab's"),
        ("sub NS ns.sub\nns.sub A 127.0.0.2", (), "no server of the lab's"),
        ("sub NS ns.away.invalid.", ("127.0.0.0/8",), "no server of the lab's"),
        ("sub NS ns.ring\nring NS ns.sub", ("127.0.0.0/8",), "no server of the lab's"),
        ("sub NS ns.sub\nns.sub A 127.0.0.1", ("127.0.0.0/8",), "says its own server"),  # lame
    ],
)
async def test_a_referral_that_leads_nowhere_is_temporary(
    cut: str, networks: tuple[str, ...], why: str
) -> None:
    async with two_servers(f"{HEAD}ns A 127.0.0.1\n{cut}\n", networks=networks) as resolver:
        for name in ("sub.example.test", "host.sub.example.test"):
            answer = await resolver.mx(name)
            assert (answer.status, answer.temporary, answer.mx) == ("servfail", True, ())
            assert answer.why.startswith("sub.example.test. is delegated to ")
            assert answer.why.endswith(why)


async def test_servers_that_do_not_answer_are_passed_by() -> None:
    cut = "sub NS a.sub\nsub NS b.sub\na.sub A 127.0.0.77\nb.sub A 127.0.0.2\n"
    async with two_servers(f"{HEAD}ns A 127.0.0.1\n{cut}") as resolver:
        assert (await resolver.mx("sub.example.test")).mx
    gone = "sub NS a.sub\na.sub A 127.0.0.77\n"
    async with two_servers(f"{HEAD}ns A 127.0.0.1\n{gone}") as resolver:
        assert (await resolver.mx("sub.example.test")).status == "timeout"
