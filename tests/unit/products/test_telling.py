"""Facts of a log told as events, without a product."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from mxlab_services import events
from mxlab_services.clock import ScaledClock
from mxlab_services.events import Emitter
from mxlab_services.products.base import Arrived, Ended, Expired, Fact, Left, MailServer, Told
from mxlab_services.products.hearing import Hearing
from mxlab_services.products.maildirs import Deliveries
from mxlab_services.products.names import Names
from mxlab_services.products.telling import Telling
from mxlab_services.runtime import Counting
from tests.support import product_lab

CONTENT = b"Message-ID: <one@client.test>\r\n\r\nhello\r\n"


class Quiet:
    """A product in whose queue every message has the same content."""

    async def content(self, queue_id: str) -> bytes | None:
        return CONTENT


@asynccontextmanager
async def telling(
    tmp_path: Path, facts: Sequence[Fact], **more: Any
) -> AsyncIterator[product_lab.Told]:
    """What is told of these facts, by a backup or whoever `more` says."""
    config = product_lab.configured(tmp_path, **more or {"relay_domains": ["example.test"]})
    told = product_lab.Told()
    emit = Counting(Emitter("mx2", ScaledClock(), told))
    names = Names(tmp_path / "names.jsonl")
    one = Telling(
        config, cast("MailServer", Quiet()), Hearing(), names, Deliveries(tmp_path), emit, None
    )
    one.take(facts)
    running = asyncio.create_task(one.run())
    await one.idle()
    try:
        yield told
    finally:
        running.cancel()
        names.close()


ARRIVED = Arrived(
    "Q1", sender="alice@client.test", recipients=("bob@example.test", "carol@example.test")
)


def deferred(recipient: str, *, doubtful: bool = False) -> Ended:
    return Ended(
        "Q1", recipient=recipient, outcome="unknown" if doubtful else "deferred",
        reply="4.4.1 connect to mx1.example.test: Connection timed out", goes_on=doubtful,
    )  # fmt: skip


async def test_an_attempt_that_went_on_is_one_attempt(tmp_path: Path) -> None:
    end = Ended("Q1", recipient="bob@example.test", outcome="delivered", reply="250 2.0.0 Ok")
    facts = [ARRIVED, deferred("bob@example.test", doubtful=True), end]
    async with telling(tmp_path, facts) as told:
        assert [one.attempt for one in told.of(events.AttemptStarted)] == [1]
        outcomes = [one.outcome for one in told.of(events.Outcome)]
        assert outcomes == ["unknown", "delivered"]
        assert told.of(events.Deferred) == []


async def test_an_expiry_is_told_with_those_who_waited_and_why(tmp_path: Path) -> None:
    sent = Ended("Q1", recipient="carol@example.test", outcome="delivered", reply="250 2.0.0 Ok")
    facts = [
        ARRIVED, deferred("bob@example.test"), sent, Expired("Q1"),
        Told("Q1", action="failed", notification="Q2"),
        Arrived("Q2", recipients=("alice@client.test",), about="Q1"), Left("Q1"),
    ]  # fmt: skip
    async with telling(tmp_path, facts) as told:
        (bounced,) = told.of(events.Bounced)
        assert (bounced.recipients, bounced.status) == (["bob@example.test"], ["4.4.1"])
        assert (bounced.to, bounced.action) == ("alice@client.test", "failed")


async def test_a_message_that_left_before_its_notification_was_seen_is_gone_after_it(
    tmp_path: Path,
) -> None:
    failed = Ended("Q1", recipient="bob@example.test", outcome="failed", reply="550 5.1.1 nobody")
    facts = [
        Arrived("Q1", sender="alice@client.test", recipients=("bob@example.test",)), failed,
        Told("Q1", action="failed", notification="Q2"), Left("Q1"),
        Arrived("Q2", recipients=("alice@client.test",), about="Q1"),
    ]  # fmt: skip
    async with telling(tmp_path, facts) as told:
        assert told.kinds.index("bounce.sent") < told.kinds.index("queue.removed")
        assert told.kinds.count("queue.removed") == 1


async def test_that_mail_which_expired_is_told_as_late_names_whom_it_was_for(
    tmp_path: Path,
) -> None:
    """As OpenSMTPD 6.8 does."""
    facts = [
        ARRIVED, deferred("bob@example.test"), deferred("carol@example.test"), Expired("Q1"),
        Left("Q1"), Arrived("Q2", recipients=("alice@client.test",), about="Q1"),
        Told("Q1", action="delayed", notification="Q2"),
    ]  # fmt: skip
    async with telling(tmp_path, facts) as told:
        (bounced,) = told.of(events.Bounced)
        assert bounced.action == "delayed"
        assert bounced.recipients == ["bob@example.test", "carol@example.test"]


@pytest.mark.parametrize("order", [("bob", "carol", "bob"), ("carol", "bob", "bob")])
async def test_each_member_of_an_alias_has_it_where_the_log_has_local_parts(
    order: tuple[str, ...], tmp_path: Path
) -> None:
    """Two of the members have the same one."""
    members = ["bob@example.test", "carol@example.test", "Bob@other.test"]
    arrived = Arrived("Q1", sender="alice@client.test", recipients=("team@example.test",))
    ends = [
        Ended(
            "Q1", recipient="team@example.test", outcome="delivered", reply="", mailbox=True,
            local_part=one,
        )
        for one in order
    ]  # fmt: skip
    more: dict[str, Any] = {
        "local_domains": ["example.test", "other.test"],
        "aliases": {"team@example.test": members},
    }
    async with telling(tmp_path, [arrived, *ends, Left("Q1")], **more) as told:
        delivered = [one.recipient for one in told.of(events.MailboxDelivered)]
        assert sorted(delivered) == sorted(members)
        assert [one.attempt for one in told.of(events.AttemptStarted)] == [1, 1]
