"""MAIL-RULES A, through whole simulated labs: which hosts are tried, and when.

::

    client ──? MX of example.test ──> dns
       ├── 1st: the lowest preference, equals shuffled ──> mx1
       └── then, in the same attempt ────────────────────> mx2 ──> only better ones, never itself
"""

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.model.topology import Exchange
from mxlab_services import events
from mxlab_services.control.replies import RouteReport
from mxlab_services.control.requests import ZoneReplace
from mxlab_services.faults.kinds import DnsRefused, DnsServfail, DnsTimeout
from mxlab_services.faults.requests import FaultClear, FaultSet
from tests.support.stories import (
    HOUR,
    MINUTE,
    THREE,
    TRAVEL,
    address_of,
    happened,
    in_lab,
    queue,
    reports,
    route,
    send,
    until,
    zone,
)

MX1 = "10.53.25.3"  # where the plan puts the first exchange


async def fail_dns(lab: SimLab) -> None:
    """Answer SERVFAIL to every question about the domain."""
    await lab.nodes["dns"].request(
        FaultSet("dns", DnsServfail(name="example.test", subdomains=True))
    )


def test_a1_a_temporary_dns_failure_queues_and_never_bounces() -> None:
    async def story(lab: SimLab) -> RouteReport:
        await fail_dns(lab)
        await send(lab)
        report = await route(lab, "client")
        await lab.clock.sleep(20 * HOUR)
        assert len(await queue(lab, "client")) == 1
        assert not await reports(lab)
        assert not await happened(lab, "client", events.Tried)
        await lab.nodes["dns"].request(FaultClear("dns"))
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


@pytest.mark.parametrize("fault", [DnsServfail, DnsTimeout, DnsRefused])
def test_a1_no_address_of_an_exchange_for_now_queues_and_never_bounces(
    fault: type[DnsServfail | DnsTimeout | DnsRefused],
) -> None:
    async def story(lab: SimLab) -> RouteReport:
        broken = fault(name="example.test", type="A", subdomains=True)
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
        await fail_dns(lab)
        seen = []
        for wait in (0.0, 1.0, 5 * MINUTE):
            await lab.clock.sleep(wait)
            await route(lab, "client")
            seen.append(await _asked(lab, "example.test", "MX"))
        return seen

    first, second, third = in_lab(story)
    assert first == second < third
