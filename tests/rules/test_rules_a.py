"""MAIL-RULES A, through whole simulated labs: which hosts are tried, and why."""

from dataclasses import dataclass

import pytest
from tests.rules.peers import fail_dns
from tests.rules.stories import (
    BOB,
    HOUR,
    MINUTE,
    THREE,
    TRAVEL,
    address_of,
    happened,
    in_lab,
    mail_of,
    queue,
    reports,
    route,
    send,
    until,
    zone,
)

from mxlab.backends.sim.backend import SimLab
from mxlab.model.topology import Exchange
from mxlab_services import events
from mxlab_services.control import FaultClear, FaultSet, RouteReport, ZoneReplace
from mxlab_services.faults import DnsRefused, DnsTimeout, Servfail

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


def test_a1_a_temporary_dns_failure_queues_and_never_bounces() -> None:
    async def story(lab: SimLab) -> RouteReport:
        dns = address_of(lab, "dns")
        await fail_dns(lab)
        await send(lab)
        report = await route(lab, "client")
        await lab.clock.sleep(20 * HOUR)
        assert len(await queue(lab, "client")) == 1
        assert not await reports(lab)
        assert not await happened(lab, "client", events.Tried)
        lab.network.power_off(lab.network.host(dns))  # type: ignore[arg-type]
        await lab.nodes["dns"].kill()
        await lab.nodes["dns"].start()
        await until(lab, "mx1", events.MailboxDelivered)
        return report

    report = in_lab(story)
    assert (report.status, report.reply) == (
        "defer", "451 4.4.3 SERVFAIL in the lookup of example.test MX",
    )  # fmt: skip
    assert report.decisions[-1].endswith("(RFC 5321 §5.1)")


def test_a1_a_dns_server_that_does_not_answer_queues_and_never_bounces() -> None:
    async def story(lab: SimLab) -> RouteReport:
        client, dns = address_of(lab, "client"), address_of(lab, "dns")
        lab.network.link(client, dns).drop = True
        await send(lab)
        report = await route(lab, "client")
        await lab.clock.sleep(20 * HOUR)
        assert len(await queue(lab, "client")) == 1
        lab.network.unblock(client, dns)
        await until(lab, "mx1", events.MailboxDelivered)
        assert not await reports(lab)
        return report

    report = in_lab(story)
    assert report.status == "defer"
    assert report.reply == "451 4.4.3 no answer in the lookup of example.test MX"


@pytest.mark.parametrize("fault", [Servfail, DnsTimeout, DnsRefused])
def test_a1_no_address_of_an_exchange_for_now_queues_and_never_bounces(
    fault: type[Servfail | DnsTimeout | DnsRefused],
) -> None:
    async def story(lab: SimLab) -> RouteReport:
        broken = fault("example.test", "A", subdomains=True)
        await lab.nodes["dns"].request(FaultSet("dns", broken))
        await send(lab)
        report = await route(lab, "client")
        await lab.clock.sleep(5 * HOUR)
        assert len(await queue(lab, "client")) == 1
        assert not await reports(lab)
        await lab.nodes["dns"].request(FaultClear("dns"))
        await until(lab, "mx1", events.MailboxDelivered)
        return report

    report = in_lab(story)
    assert report.status == "defer"
    assert report.reply.startswith("451 4.4.3 no address of a mail exchanger of example.test")


def test_a1_an_alias_of_the_domain_is_followed_to_its_exchanges() -> None:
    """The exchange of the canonical name is asked, and knows the alias as it is configured to."""

    async def story(lab: SimLab) -> list[str]:
        await zone(lab, "sales CNAME example.test.", without=())
        await send(lab, "bob@sales.example.test")
        tried = await until(lab, "client", events.Tried)
        assert isinstance(tried.body, events.Tried)
        return [tried.body.host, tried.body.reply]

    host, reply = in_lab(story)
    assert host == "mx1.example.test"
    assert reply.startswith("550 5.7.1")


def test_a2_implicit_mx_with_no_address_bounces() -> None:
    async def story(lab: SimLab) -> str:
        await zone(lab)  # neither MX nor A
        await send(lab)
        await until(lab, "client", events.MailboxDelivered)
        [report] = await reports(lab)
        return report.status

    assert in_lab(story) == "5.4.4"


def test_a3_lower_number_first_and_equals_share_the_load() -> None:
    async def story(lab: SimLab) -> dict[str, int]:
        await zone(lab, "@ MX 10 mx2", "@ MX 10 mx3", "@ MX 5 gone", "@ MX 20 mx1")
        for _ in range(40):
            await send(lab)
            await lab.clock.sleep(5)  # no connection is kept so long
        tried = await happened(lab, "client", events.Tried)
        hosts = [event.host.split(".")[0] for event in tried]
        return {host: hosts.count(host) for host in dict.fromkeys(hosts)}

    hosts = in_lab(story, mx=tuple(Exchange(f"mx{n}", 10, "primary") for n in (1, 2, 3)))
    assert set(hosts) == {"mx2", "mx3"}  # never the worse one
    assert min(hosts.values()) >= 10


def test_a3_addresses_of_a_host_are_tried_in_the_order_given() -> None:
    async def story(lab: SimLab) -> list[str]:
        dead = ["10.53.25.61", "10.53.25.60", "10.53.25.62"]
        await zone(lab, *(f"many A {address}" for address in dead), "@ MX 5 many", "@ MX 9 mx1")
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        return [event.address for event in await happened(lab, "client", events.Tried)]

    assert in_lab(story) == ["10.53.25.61", "10.53.25.60", "10.53.25.62", MX1]


def test_a4_a_second_address_is_tried_in_the_same_attempt() -> None:
    async def story(lab: SimLab) -> tuple[list[tuple[str, str]], list[int]]:
        await zone(lab, "two A 10.53.25.60", f"two A {MX1}", "@ MX 5 two")
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        await lab.clock.sleep(TRAVEL)
        tried = await happened(lab, "client", events.Tried)
        started = await happened(lab, "client", events.AttemptStarted)
        return [(e.address, e.stage) for e in tried], [e.attempt for e in started]

    assert in_lab(story) == ([("10.53.25.60", "connect"), (MX1, "done")], [1])


def test_a4_at_most_five_addresses_of_a_host_are_tried_and_the_report_says_so() -> None:
    async def story(lab: SimLab) -> tuple[RouteReport, int]:
        await zone(lab, *(f"many A 10.53.25.{60 + n}" for n in range(8)), "@ MX 5 many")
        await send(lab)
        await until(lab, "client", events.Deferred)
        return await route(lab, "client"), len(await happened(lab, "client", events.Tried))

    report, tried = in_lab(story)
    assert tried == 5
    assert "many.example.test has 8 addresses: the first 5 are tried (RFC 5321 §5.1)" in (
        report.decisions
    )


def test_a5_a_null_mx_fails_at_once_although_the_domain_has_an_address() -> None:
    async def story(lab: SimLab) -> tuple[str, str, int]:
        await zone(lab, "@ MX 0 .", f"@ A {MX1}")
        await send(lab)
        await until(lab, "client", events.MailboxDelivered, within=TRAVEL)
        [report] = await reports(lab)
        tried = await happened(lab, "client", events.Tried)
        return report.status, report.recipients[0]["Diagnostic-Code"], len(tried)

    status, said, tried = in_lab(story)
    assert (status, tried) == ("5.1.10", 0)
    assert said.startswith("smtp; 556 5.1.10 ")


def test_a7_nothing_but_ourselves_bounces_as_a_loop() -> None:
    async def story(lab: SimLab) -> tuple[str, str]:
        await zone(lab, "@ MX 10 mx2")
        await send(lab)
        await until(lab, "client", events.MailboxDelivered)
        [report] = await reports(lab)
        return report.fields["Reporting-MTA"], report.recipients[0]["Diagnostic-Code"]

    assert in_lab(story) == (
        "dns; mx2.example.test",
        "smtp; 554 5.4.6 mail for example.test loops back to myself",
    )


def test_a7_mail_moves_only_towards_better_exchanges() -> None:
    """Both better hosts are down: mx3 takes the mail, hands it to mx2, and mx2 to mx1."""

    async def story(lab: SimLab) -> list[tuple[str, list[str]]]:
        await lab.nodes["mx1"].kill()
        await lab.nodes["mx2"].kill()
        await send(lab)
        await until(lab, "mx3", events.Deferred)
        await lab.nodes["mx2"].start()
        await until(lab, "mx2", events.Deferred)
        await lab.nodes["mx1"].start()
        await until(lab, "mx1", events.MailboxDelivered)
        seen = []
        for node in ("mx3", "mx2"):
            hosts = [event.host.split(".")[0] for event in await happened(lab, node, events.Tried)]
            seen.append((node, sorted(set(hosts))))
        return seen

    assert in_lab(story, mx=THREE) == [("mx3", ["mx1", "mx2"]), ("mx2", ["mx1"])]


def test_a8_a_better_mx_without_an_address_is_waited_for() -> None:
    async def story(lab: SimLab) -> str:
        await zone(lab, "@ MX 10 primary", "@ MX 20 mx2")
        await send(lab)
        await until(lab, "mx2", events.Deferred)
        [entry] = await queue(lab, "mx2")
        await lab.clock.sleep(HOUR)
        assert not await reports(lab)
        await zone(lab, f"primary A {MX1}", without=())
        await until(lab, "mx1", events.MailboxDelivered)
        return entry.recipients[0].delay_reason

    assert in_lab(story).startswith("451 4.4.4 unable to find primary relay for example.test")


def test_a9_a_loopback_exchange_is_never_connected_to() -> None:
    async def story(lab: SimLab) -> list[str]:
        await zone(lab, "@ MX 5 here", "here A 127.0.0.1", f"here A {MX1}")
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        return [event.address for event in await happened(lab, "client", events.Tried)]

    assert in_lab(story) == [MX1]


async def _asked(lab: SimLab, name: str, kind: str) -> int:
    questions = await happened(lab, "dns", events.DnsQuery)
    return sum(event.name.rstrip(".") == name and event.type == kind for event in questions)


def test_a10_an_answer_is_used_for_its_ttl_and_no_longer() -> None:
    async def story(lab: SimLab) -> list[tuple[str, ...]]:
        await zone(lab, "@ 100 MX 10 mx1")
        targets = []
        for wait in (0, 99, 2):
            await lab.clock.sleep(wait)
            targets.append(tuple((await route(lab, "client")).targets))
            await zone(lab, "@ 100 MX 10 mx2")
        assert await _asked(lab, "example.test", "MX") == 2
        return targets

    first, second, third = in_lab(story)
    assert first == second == (f"10 mx1.example.test [{MX1}]",)
    assert third == ("10 mx2.example.test [10.53.25.4]",)


@pytest.mark.parametrize(("soa_ttl", "minimum"), [(30, 600), (600, 30)])
def test_a10_a_negative_answer_lives_for_the_smaller_of_soa_ttl_and_minimum(
    soa_ttl: int, minimum: int
) -> None:
    async def story(lab: SimLab) -> list[object]:
        soa = f"@ {soa_ttl} IN SOA dns.example.test. h.example.test. 1 3600 600 86400 {minimum}"
        text = f"$TTL 600\n{soa}\n@ NS dns\ndns A 10.53.25.2\n"
        await lab.nodes["dns"].request(ZoneReplace("other.test", text))
        seen: list[object] = []
        for wait in (0, 29, 2):
            await lab.clock.sleep(wait)
            seen.append((await route(lab, "client", "x@new.other.test")).status)
            await zone(lab, "new MX 10 mx1.example.test.", without=(), origin="other.test")
        return seen

    assert in_lab(story) == ["fail", "fail", "relay"]


def test_a10_servfail_is_remembered_briefly_and_bounded() -> None:
    async def story(lab: SimLab) -> list[int]:
        asked = 0

        def count() -> None:
            nonlocal asked
            asked += 1

        await fail_dns(lab, count)
        seen = []
        for wait in (0.0, 1.0, 5 * MINUTE):
            await lab.clock.sleep(wait)
            await route(lab, "client")
            seen.append(asked)
        return seen

    first, second, third = in_lab(story)
    assert first == second < third
