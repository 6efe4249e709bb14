"""MAIL-RULES C, through whole simulated labs: the queue through outages of hours and days.

::

    client ──x mx1 (down for hours, days)
       └─────> mx2: queue ── try ── wait ── try ── ... ──> mx1, or a bounce to the sender
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.backends.sim.node import EPOCH
from mxlab_services import events
from mxlab_services.config import Limits, RetryConfig
from mxlab_services.control.requests import QueueFlush
from tests.support.peers import Peer, close_port, put_dns, put_peer, take_over
from tests.support.stories import (
    ALICE,
    ALONE,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    TRAVEL,
    address_of,
    happened,
    in_lab,
    queue,
    reconfigure,
    reports,
    send,
    talk,
    until,
    when,
    zone,
)

SLACK = 1.0  # seconds that an attempt itself may take


@dataclass(frozen=True)
class Habit:
    """What MAIL-RULES C says of one system. `gap`: the least and the most of a wait (lab seconds)
    after attempt n (from 1) of a message of this age."""

    gap: Callable[[int, float], tuple[float, float]]
    lifetime: float
    warning: float = 0.0


def _exactly(seconds: float) -> tuple[float, float]:
    return seconds, seconds


def _exim(_: int, age: float) -> tuple[float, float]:
    if age < 2 * HOUR:
        return _exactly(15 * MINUTE)
    if age < 16 * HOUR:
        step, start = HOUR, 2 * HOUR
        while start + step <= age + MINUTE:
            start, step = start + step, step * 1.5
        return step, step
    return _exactly(6 * HOUR)


def _chasquid(_: int, age: float) -> tuple[float, float]:
    for step in (1, 5, 10):
        if age < step * MINUTE:
            return step * MINUTE, (step + 1) * MINUTE
    return 20 * MINUTE, 21 * MINUTE


HABITS = {
    "postfix": Habit(lambda _, age: _exactly(min(max(age, 300), 4000)), 5 * DAY),
    "exim": Habit(_exim, 4 * DAY, DAY),
    "opensmtpd": Habit(lambda n, age: _exactly(400.0 * n * n - age), 4 * DAY, 4 * HOUR),
    "chasquid": Habit(_chasquid, 20 * HOUR),
    "rfc": Habit(lambda _, age: (30 * MINUTE, 5 * HOUR), 5 * DAY),
    "workshop": Habit(lambda n, _: (min(2 * 1.5 ** (n - 1), 30), 33), HOUR),
}


@pytest.mark.parametrize("schedule", HABITS)
def test_c_five_days_of_retries_follow_the_schedule(schedule: str) -> None:
    habit = HABITS[schedule]

    async def story(lab: SimLab) -> tuple[list[float], float, float | None]:
        if schedule == "workshop":  # thousands of attempts in its own day: a part will do
            retry = RetryConfig(schedule, lifetime=habit.lifetime)
            await reconfigure(lab, "client", retry=retry)
        await close_port(lab, "mx1")
        name = (await send(lab))[0].queue_id
        accepted = (await until(lab, "client", events.Accepted)).at
        gone = (await until(lab, "client", events.Removed, like=lambda e: e.queue_id == name)).at
        await lab.clock.sleep(TRAVEL)
        tried = [at - accepted for at, _ in await when(lab, "client", events.Tried)]
        told = await when(lab, "client", events.Bounced)
        warned = [at - accepted for at, e in told if e.action == "delayed"]
        assert [e.action for _, e in told][-1] == "failed"
        last = (await reports(lab))[-1]
        assert (last.action, last.status) == ("failed", "5.4.7")
        assert "Connection refused" in last.recipients[0]["Diagnostic-Code"]
        assert len(warned) <= 1
        return tried, gone - accepted, warned[0] if warned else None

    tried, lived, warned = in_lab(story, mx=ALONE, schedule=schedule)
    assert tried[0] == pytest.approx(0, abs=SLACK)  # at once
    for number, (earlier, later) in enumerate(pairwise(tried), 1):
        least, most = habit.gap(number, earlier)
        assert least - SLACK <= later - earlier <= most * 1.001 + SLACK, (number, earlier, later)
    assert lived == pytest.approx(habit.lifetime, abs=SLACK)
    assert tried[-1] + habit.gap(len(tried), tried[-1])[1] + SLACK >= habit.lifetime
    if habit.warning:
        assert warned == pytest.approx(habit.warning, abs=SLACK)
    else:
        assert warned is None


def test_c_rfc_tries_twice_in_the_first_hour_and_gives_up_after_four_or_five_days() -> None:
    async def story(lab: SimLab) -> tuple[list[float], float]:
        await close_port(lab, "mx1")
        await send(lab)
        gone = (await until(lab, "client", events.Removed)).at
        return [at - EPOCH for at, _ in await when(lab, "client", events.Tried)], gone - EPOCH

    tried, gone = in_lab(story, mx=ALONE, schedule="rfc")
    retries = [at for at in tried[1:] if at <= HOUR + 10 * MINUTE]
    assert len(retries) >= 2
    assert min(later - earlier for earlier, later in pairwise(tried)) >= 30 * MINUTE
    assert 4 * DAY <= gone <= 5 * DAY + SLACK


@pytest.mark.parametrize(("name", "hops"), [("postfix", 50), ("exim", 30), ("opensmtpd", 100)])
def test_c_the_hop_limit_is_the_schedules_own(name: str, hops: int) -> None:
    async def story(lab: SimLab) -> list[str]:
        said = []
        for number in (hops - 1, hops):
            head = "Received: by x with SMTP id 1; Mon, 1 Jan 2029 00:00:00 +0000\r\n" * number
            opening = ["EHLO c.test", "MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA"]
            said.append((await talk(lab, "mx1", *opening, f"{head}\r\nx\r\n."))[-1])
        return said

    fewer, many = in_lab(story, schedule=name)
    assert fewer.startswith("250")
    assert many.startswith("554 5.4.6")


def test_c_a_mail_loop_ends_at_the_hop_limit() -> None:
    """Two backups, each told by a DNS of its own that the other is the only exchange."""

    async def story(lab: SimLab) -> tuple[str, int]:
        for node, other, dns in (("mx1", "mx2", "10.53.25.81"), ("mx2", "mx1", "10.53.25.82")):
            text = f"@ 60 SOA a. h. 1 3600 600 86400 60\n@ NS a.\n@ MX 10 {other}\n"
            text += f"{other} A {address_of(lab, other)}\n"
            client = "@ 60 SOA a. h. 1 3600 600 86400 60\n@ NS a.\n@ MX 10 client\n"
            client += f"client A {address_of(lab, 'client')}\n"
            await put_dns(lab, dns, {"example.test": text, "client.test": client})
            await reconfigure(
                lab, node, dns=dns, local_domains=[], relay_domains=["example.test"],
                limits=Limits(hops=9),
            )  # fmt: skip
        await send(lab)
        await until(lab, "client", events.MailboxDelivered, within=DAY)
        [report] = await reports(lab)
        journeys = [*await happened(lab, "mx1", events.Accepted)]
        journeys += await happened(lab, "mx2", events.Accepted)
        return report.status, sum(1 for event in journeys if event.sender == ALICE)

    assert in_lab(story) == ("5.4.6", 8)


def test_c_a_delay_is_told_once_with_the_time_of_giving_up() -> None:
    async def story(lab: SimLab) -> None:
        await close_port(lab, "mx1")
        await send(lab)
        await lab.clock.sleep(3 * DAY)
        [report] = await reports(lab)
        assert (report.action, report.status) == ("delayed", "4.4.1")
        assert report.fields["Arrival-Date"] == "Tue, 01 Jan 2030 00:00:00 +0000"
        until_when = report.recipients[0]["Will-Retry-Until"]
        assert until_when == "Sat, 05 Jan 2030 00:00:00 +0000"
        assert report.recipients[0]["Last-Attempt-Date"].startswith("Tue, 01 Jan 2030")

    in_lab(story, mx=ALONE, schedule="opensmtpd")


def test_c_a_restart_neither_prolongs_the_lifetime_nor_repeats_the_warning() -> None:
    async def story(lab: SimLab) -> list[tuple[str, float]]:
        await close_port(lab, "mx1")
        await send(lab)
        began = lab.clock.time()
        client = lab.nodes["client"]
        for _ in range(7):
            await lab.clock.sleep(13 * HOUR)
            await client.kill()
            await client.start()
        await until(lab, "client", events.Bounced, 2)
        return [(e.action, at - began) for at, e in await when(lab, "client", events.Bounced)]

    told = in_lab(story, mx=ALONE, schedule="opensmtpd")
    assert dict(told) == pytest.approx({"delayed": 4 * HOUR, "failed": 4 * DAY}, abs=SLACK)
    assert len(told) == 2


def test_c_lifetime_and_warning_are_configurable() -> None:
    async def story(lab: SimLab) -> list[tuple[str, float]]:
        retry = RetryConfig("postfix", lifetime=6 * HOUR, warning=HOUR)
        await reconfigure(lab, "client", retry=retry)
        await close_port(lab, "mx1")
        await send(lab)
        await until(lab, "client", events.Bounced, 2)
        began = (await until(lab, "client", events.Accepted)).at
        return [(e.action, at - began) for at, e in await when(lab, "client", events.Bounced)]

    told = dict(in_lab(story, mx=ALONE))
    assert told == pytest.approx({"delayed": HOUR, "failed": 6 * HOUR}, abs=SLACK)


def test_c_the_clocks_scale_reaches_retries_warnings_lifetime_and_ttls() -> None:
    """At 3600 an hour passes in a second; only the network keeps real time."""

    async def story(lab: SimLab) -> tuple[float, list[float], int]:
        loop = lab.network.loop
        await close_port(lab, "mx1")
        accepted = lab.clock.time()
        await send(lab)
        await until(lab, "client", events.Bounced, 2)
        real = loop.time()
        told = [at - accepted for at, _ in await when(lab, "client", events.Bounced)]
        lookups = [e.cached for e in await happened(lab, "client", events.Lookup)]
        return real, told, lookups.count(False)

    real, told, asked = in_lab(story, mx=ALONE, schedule="opensmtpd", scale=3600)
    assert real == pytest.approx(4 * 24, abs=1)
    assert told == pytest.approx([4 * HOUR, 4 * DAY], abs=MINUTE)
    assert asked >= 10  # a TTL of a minute of lab time is over at each attempt


def test_c1_a_backlog_costs_messages_plus_attempts_not_their_product() -> None:
    async def story(lab: SimLab) -> tuple[int, int, int]:
        await lab.nodes["mx1"].kill()
        await send(lab, count=100)
        await lab.clock.sleep(5 * HOUR)
        tried = len(await happened(lab, "mx2", events.Tried))
        assert len(await queue(lab, "mx2")) == 100
        rewritten = len(await happened(lab, "mx2", events.Deferred))
        await lab.nodes["mx1"].start()
        await until(lab, "mx1", events.MailboxDelivered, 100, within=2 * HOUR)
        return tried, rewritten, len(await happened(lab, "mx2", events.DestinationAlive))

    tried, rewritten, alive = in_lab(story, schedule="postfix")
    assert tried <= 20  # one message alone makes about ten in this time
    assert rewritten <= 20
    assert alive == 1


def test_c1_another_destination_does_not_suffer() -> None:
    async def story(lab: SimLab) -> int:
        await close_port(lab, "mx1")
        await send(lab, count=20)
        await lab.clock.sleep(HOUR)
        await zone(lab, "other MX 10 mx3", "mx3 A 10.53.25.70", without=())
        peer = Peer()
        put_peer(lab, "10.53.25.70", peer)
        await send(lab, "x@other.example.test", count=5)
        await lab.clock.sleep(TRAVEL)
        return len(peer.taken)

    assert in_lab(story, mx=ALONE, schedule="postfix") == 5


def test_c1_a_message_for_two_destinations_waits_for_the_dead_one_only() -> None:
    async def story(lab: SimLab) -> list[str]:
        await close_port(lab, "mx1")
        await zone(lab, "other MX 10 mx3", "mx3 A 10.53.25.70", without=())
        peer = Peer()
        put_peer(lab, "10.53.25.70", peer)
        await send(lab, BOB, "x@other.example.test")
        await lab.clock.sleep(TRAVEL)
        assert [copy.recipients for copy in peer.taken] == [["x@other.example.test"]]
        [entry] = await queue(lab, "client")
        return [recipient.address for recipient in entry.recipients]

    assert in_lab(story, mx=ALONE, schedule="postfix") == [BOB]


def test_c2_concurrency_starts_low_grows_on_success_and_is_bounded() -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        peer = await take_over(lab, "mx1", Peer(delay=1.0))
        await send(lab, count=200)
        await lab.clock.sleep(0.9)
        first = peer.most
        await until(lab, "client", events.Removed, 200)
        assert len(peer.taken) == 200
        return first, peer.most

    first, most = in_lab(story, mx=ALONE)
    assert first == 2
    assert most == 20


def test_c2_concurrency_falls_on_failure() -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        peer = await take_over(lab, "mx1", Peer(delay=1.0))
        await send(lab, count=200)
        await until(lab, "client", events.Removed, 80)
        high = peer.most
        peer.script = {"MAIL": ["421 4.7.0 too busy"]}
        await lab.clock.sleep(30)  # the rest is deferred, nothing is open
        assert peer.open == 0
        peer.script, peer.most = {}, 0
        await lab.nodes["client"].request(QueueFlush())
        await lab.clock.sleep(0.9)
        return high, peer.most

    high, after = in_lab(story, mx=ALONE, schedule="postfix")
    assert high >= 10
    assert after <= 2


def test_c2_a_backlog_uses_few_connections() -> None:
    async def story(lab: SimLab) -> int:
        await lab.nodes["mx1"].kill()
        await send(lab, count=300)
        await lab.clock.sleep(20)
        peer = Peer()
        put_peer(lab, address_of(lab, "mx1"), peer)
        await until(lab, "mx2", events.Removed, 300)
        assert len(peer.taken) == 300
        return peer.connections

    assert in_lab(story) <= 25


def test_c3_jitter_spreads_the_retries_of_different_senders() -> None:
    """Labs of different seeds stand for senders that lose the same primary at the same time."""

    async def story(lab: SimLab) -> float:
        await close_port(lab, "mx1")
        await send(lab)
        await lab.clock.sleep(10 * MINUTE)
        return (await when(lab, "client", events.Tried))[20][0]

    times = sorted(in_lab(story, mx=ALONE, seed=seed) for seed in range(6))
    assert len({round(time) for time in times}) >= 4
    assert times[-1] - times[0] > 2
