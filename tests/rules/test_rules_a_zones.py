"""MAIL-RULES A: hard zones, each explained by the route's report and decided by a whole lab.

::

    zone ──> dns ──? ── client ── route: targets, decisions, sections
                          └─────> what became of the mail: delivered, waits, bounced
"""

from dataclasses import dataclass

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.model.topology import Exchange
from mxlab_services import events
from tests.support.peers import put_dns
from tests.support.stories import (
    BOB,
    MINUTE,
    THREE,
    in_lab,
    mail_of,
    queue,
    reports,
    route,
    send,
    until,
    zone,
)

EQUAL_BACKUPS = (Exchange("mx1", 10), Exchange("mx2", 20), Exchange("mx3", 20))
MX1 = "10.53.25.3"  # where the plan puts the first exchange


@dataclass(frozen=True)
class Case:
    """One hard zone: its records, and what is asked of whom."""

    records: tuple[str, ...]
    asked: str  # whose route
    status: str
    targets: tuple[str, ...]
    decisions: tuple[str, ...]  # in the report, in this order
    ends: str  # `delivered at NODE`, or the status in the bounce, or `waits: REASON`
    mx: tuple[Exchange, ...] = THREE
    without: tuple[str, ...] = ("@ MX",)
    to: str = BOB
    down: str = ""


HARD = {
    "self is best": Case(
        ("@ MX 10 mx2",),
        "mx2", "fail", (),
        ("mx2.example.test is discarded: it is this host, known by its name, at preference 10 "
         "(RFC 5321 §5.1)",
         "undeliverable: mail for example.test loops back to myself (RFC 5321 §5.1)"),
        "5.4.6",
    ),
    "self in the middle": Case(
        ("@ MX 10 mx1", "@ MX 20 mx2", "@ MX 30 mx3"),
        "mx2", "relay", ("mx1",),
        ("mx2.example.test is discarded: it is this host, known by its name, at preference 20",
         "mx3.example.test is discarded: preference 30 is not better than ours (RFC 5321 §5.1)"),
        "waits: mx2", down="mx1",
    ),
    "self tied": Case(
        ("@ MX 10 mx1", "@ MX 20 mx2", "@ MX 20 mx3"),
        "mx2", "relay", ("mx1",),
        ("equal preference 20, shuffled to share the load",
         "mx3.example.test is discarded: preference 20 is not better than ours (RFC 5321 §5.1)"),
        "waits: mx2 mx3", mx=EQUAL_BACKUPS, down="mx1",
    ),
    "target missing": Case(
        ("@ MX 5 gone", "@ MX 10 mx1"),
        "client", "relay", ("mx1",),
        ("gone.example.test is discarded: the name does not exist (RFC 5321 §5.1)",),
        "delivered at mx1",
    ),
    "target missing then self": Case(
        ("@ MX 10 gone", "@ MX 20 mx2"),
        "mx2", "defer", (),
        ("gone.example.test is discarded: the name does not exist",
         "mx2.example.test is discarded: it is this host, known by its name, at preference 20",
         "wait and try again: unable to find primary relay for example.test"),
        "waits: mx2",
    ),
    "an alias of self": Case(
        ("@ MX 10 mx1", "@ MX 20 backup", "backup CNAME mx2"),
        "mx2", "relay", ("mx1",),
        ("warning: backup.example.test is an alias of mx2.example.test; an MX must not name one "
         "(RFC 2181 §10.3)",
         "backup.example.test is discarded: it is this host, known as the alias of "
         "mx2.example.test, at preference 20"),
        "waits: mx2", down="mx1",
    ),
    "self by another name": Case(
        ("@ MX 10 mx1", "@ MX 20 other", "other A 10.53.25.4"),
        "mx2", "relay", ("mx1",),
        ("other.example.test is discarded: it is this host, known by its address",),
        "waits: mx2", down="mx1",
    ),
    "the same host twice": Case(
        ("@ MX 20 mx1", "@ MX 10 mx1", "@ MX 30 mx2"),
        "client", "relay", ("mx1", "mx2"),
        ("mx1.example.test is listed more than once: preference 10 (RFC 5321 §5.1)",),
        "delivered at mx1",
    ),
    "null MX": Case(
        ("@ MX 0 .",),
        "client", "fail", (),
        ("undeliverable: Domain example.test does not accept mail (null MX) (RFC 7505 §3)",),
        "5.1.10",
    ),
    "null MX beside others": Case(
        ("@ MX 0 .", "@ MX 10 mx1"),
        "client", "relay", ("mx1",),
        (". is discarded: a null MX must be the only MX record, an error in the zone "
         "(RFC 7505 §3)",),
        "delivered at mx1",
    ),
    "CNAME target": Case(
        ("@ MX 10 mail", "mail CNAME mx1"),
        "client", "relay", ("mail",),
        ("warning: mail.example.test is an alias of mx1.example.test; an MX must not name one "
         "(RFC 2181 §10.3)",),
        "delivered at mx1",
    ),
    "loopback target": Case(
        ("@ MX 5 here", "here A 127.0.0.1", "@ MX 10 mx1"),
        "client", "relay", ("mx1",),
        ("here.example.test[127.0.0.1] is discarded: a loopback address is no mail exchanger",),
        "delivered at mx1",
    ),
    "only a loopback target": Case(
        ("@ MX 5 here", "here A 127.0.0.1"),
        "client", "fail", (),
        ("undeliverable: no mail exchanger of example.test has a usable address (RFC 5321 §5.1)",),
        "5.4.4",
    ),
    "no MX": Case(
        (f"@ A {MX1}",),
        "client", "relay", ("example.test",),
        ("no MX record: example.test itself is the only host, with preference 0 (implicit MX) "
         "(RFC 5321 §5.1)",),
        "delivered at mx1",
    ),
    "no usable MX, but an address": Case(
        (f"@ A {MX1}", "@ MX 10 gone"),
        "client", "fail", (),
        ("undeliverable: no mail exchanger of example.test has a usable address",),
        "5.4.4",
    ),
    "NXDOMAIN": Case(
        (), "client", "fail", (),
        ("undeliverable: Domain nowhere.example.test does not exist (RFC 5321 §5.1)",),
        "5.1.2", without=(), to="bob@nowhere.example.test",
    ),
    "an alias at the domain": Case(
        ("sales CNAME example.test.",),
        "client", "relay", ("mx1", "mx2", "mx3"),
        ("sales.example.test is an alias (CNAME): go on with example.test (RFC 5321 §5.1)",),
        "refused: 5.7.1", without=(), to="bob@sales.example.test",
    ),
    "a zone cut that leads nowhere": Case(
        ("sub NS ns.sub", "ns.sub A 192.0.2.1"),
        "client", "defer", (),
        ("wait and try again: SERVFAIL (sub.example.test. is delegated to "
         "ns.sub.example.test.: no server of the lab's) in the lookup of host.sub.example.test",),
        "waits: client", without=(), to="bob@host.sub.example.test",
    ),
    "an exchange below such a cut": Case(
        ("sub NS ns.sub", "@ MX 10 mail.sub"),
        "client", "defer", (),
        ("mail.sub.example.test is discarded: SERVFAIL (sub.example.test. is delegated to",),
        "waits: client",
    ),
    "a server of the lab that says nothing": Case(
        ("sub NS ns.sub", f"ns.sub A {MX1}", "@ MX 10 mail.sub"),
        "client", "defer", (),
        ("mail.sub.example.test is discarded: no answer in the lookup of its address",),
        "waits: client",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARD.values(), ids=[name.replace(" ", "-") for name in HARD])
def test_a_hard_zone_is_explained_and_decides_what_becomes_of_mail(case: Case) -> None:
    async def story(lab: SimLab) -> None:
        await zone(lab, *case.records, without=case.without)
        report = await route(lab, case.asked, case.to)
        assert report.status == case.status, report
        hosts = [target.split()[1].removesuffix(".example.test") for target in report.targets]
        assert hosts == list(case.targets) or case.to != BOB, report
        at = 0
        for wanted in case.decisions:
            found = [n for n, line in enumerate(report.decisions) if line.startswith(wanted)]
            assert [n for n in found if n >= at], (wanted, report.decisions)
            at = found[0]
        assert all(line.endswith(")") and "(" in line for line in report.decisions)
        if case.down:
            await lab.nodes[case.down].kill()
        await send(lab, case.to)
        await lab.clock.sleep(20 * MINUTE)
        await _ends(lab, case)

    in_lab(story, mx=case.mx)


def test_a1_a_referral_is_followed_within_the_lab() -> None:
    """RFC 1034 §4.3.2: the glue leads to a server of the lab, which knows the exchange."""

    async def story(lab: SimLab) -> None:
        head = "$TTL 60\n@ SOA ns h 1 1 1 1 60\n NS ns\nns A 10.53.25.77\n"
        await put_dns(lab, "10.53.25.77", {"sub.example.test": f"{head}mail A {MX1}\n"})
        await zone(lab, "sub NS ns.sub", "ns.sub A 10.53.25.77", "@ MX 10 mail.sub")
        assert (await route(lab, "client")).targets == [f"10 mail.sub.example.test [{MX1}]"]
        await send(lab, BOB)
        await until(lab, "mx1", events.MailboxDelivered)

    in_lab(story)


async def _ends(lab: SimLab, case: Case) -> None:
    how, _, where = case.ends.partition(": ")
    bounces = await reports(lab)
    if how.startswith("delivered at "):
        assert len(await mail_of(lab, how.removeprefix("delivered at "), BOB)) == 1
        assert not bounces
    elif how == "waits":
        assert sum([len(await queue(lab, node)) for node in where.split()]) == 1
        assert not bounces
        if case.down:
            await lab.nodes[case.down].start()
            await until(lab, case.down, events.MailboxDelivered)
    else:
        [bounce] = bounces
        assert bounce.status == (where or how)
        assert bounce.action == "failed"
