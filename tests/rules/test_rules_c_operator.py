"""MAIL-RULES C4 and the operator's habits, through whole simulated labs.

::

    client ──> mx2: queue ──x mx1
               ^ an operator: hold, release, requeue, delete, expire, flush; a peer: ETRN
"""

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.backends.sim.node import EPOCH
from mxlab.cli.queue import shape
from mxlab.errors import Refused
from mxlab_services import events
from mxlab_services.control.requests import QueueEdit, QueueFlush
from tests.support.peers import Peer, close_port, put_peer, take_over
from tests.support.stories import (
    ALICE,
    ALONE,
    BOB,
    DAY,
    HOUR,
    MINUTE,
    TRAVEL,
    happened,
    in_lab,
    queue,
    reports,
    send,
    talk,
    until,
    zone,
)

SLACK = 1.0  # seconds that an attempt itself may take


async def backlog(lab: SimLab) -> None:
    """Five messages at mx2 for an hour that nobody takes; then the primary is back."""
    await lab.nodes["mx1"].kill()
    await send(lab, count=5)
    await lab.clock.sleep(2 * HOUR)
    await lab.nodes["mx1"].start()


async def delivered(lab: SimLab) -> int:
    await lab.clock.sleep(TRAVEL)
    return len(await happened(lab, "mx1", events.MailboxDelivered))


@pytest.mark.parametrize("site", [None, "example.test", "EXAMPLE.TEST."])
def test_c4_flush_all_or_by_site_opens_the_queue_of_a_dead_destination(site: str | None) -> None:
    async def story(lab: SimLab) -> tuple[int, int, int]:
        await backlog(lab)
        before = await delivered(lab)
        answered = await lab.nodes["mx2"].request(QueueFlush(site=site))
        return before, answered, await delivered(lab)

    assert in_lab(story, schedule="postfix") == (0, 5, 5)


def test_c4_flush_of_another_site_tries_nothing() -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        await backlog(lab)
        answered = await lab.nodes["mx2"].request(QueueFlush(site="other.test"))
        return answered, await delivered(lab)

    assert in_lab(story, schedule="postfix") == (0, 0)


def test_c4_flush_leaves_held_messages_alone_and_does_not_count_them() -> None:
    async def story(lab: SimLab) -> tuple[int, int, str]:
        await backlog(lab)
        held = (await queue(lab, "mx2"))[0].queue_id
        await edit(lab, "hold", held)
        answered = await lab.nodes["mx2"].request(QueueFlush())
        await lab.clock.sleep(TRAVEL)
        said = (await talk(lab, "mx2", "EHLO mx1.example.test", "ETRN example.test"))[-1]
        return answered, await delivered(lab), said

    answered, count, said = in_lab(story, schedule="postfix")
    assert (answered, count) == (4, 4)
    assert said.startswith("251 2.0.0 ok, no messages waiting")


def test_c4_flush_by_id_sends_that_message_first_and_shows_the_others_the_way() -> None:
    async def story(lab: SimLab) -> tuple[str, str]:
        await backlog(lab)
        chosen = (await queue(lab, "mx2"))[3].queue_id
        assert await lab.nodes["mx2"].request(QueueFlush(queue_id=chosen)) == 1
        await until(lab, "mx1", events.MailboxDelivered, within=TRAVEL)
        removed = await happened(lab, "mx2", events.Removed)
        with pytest.raises(Refused, match="no message NONE"):
            await lab.nodes["mx2"].request(QueueFlush(queue_id="NONE"))
        await lab.clock.sleep(2 * TRAVEL)
        first = (await happened(lab, "mx2", events.Removed))[0].queue_id
        assert len(removed) <= 5
        return chosen, first

    chosen, first = in_lab(story, schedule="postfix")
    assert chosen == first


@pytest.mark.parametrize("node", ["example.test", "@example.test", "Example.Test."])
def test_c4_etrn_opens_the_queue_of_a_dead_destination(node: str) -> None:
    async def story(lab: SimLab) -> tuple[str, int, int]:
        await backlog(lab)
        before = await delivered(lab)
        connections = len(await happened(lab, "mx2", events.Tried))
        said = await talk(lab, "mx2", "EHLO mx1.example.test", f"ETRN {node}")
        count = await delivered(lab)
        tried = await happened(lab, "mx2", events.Tried)
        assert "S: 220" in tried[connections].dialog[0]  # a new connection (RFC 1985 §5)
        return said[-1], before, count

    said, before, count = in_lab(story, schedule="postfix")
    assert said.startswith("253 2.0.0 ok, 5 pending messages for node ")
    assert (before, count) == (0, 5)


def test_c4_etrn_opens_a_new_connection_although_one_is_kept() -> None:
    async def story(lab: SimLab) -> tuple[str, int]:
        peer = await take_over(lab, "mx1", Peer({f"RCPT {BOB}": ["450 4.2.1 busy", ""]}))
        opening = ["EHLO c.test", "MAIL FROM:<a@c.test>"]
        for address in (BOB, "carol@example.test"):
            await talk(lab, "mx2", *opening, f"RCPT TO:<{address}>", "DATA", "x\r\n.")
            await lab.clock.sleep(0.1)
        assert peer.open == 1  # kept for more
        await talk(lab, "mx2", "EHLO mx1.example.test", "ETRN example.test")
        await lab.clock.sleep(TRAVEL)
        last = (await happened(lab, "mx2", events.Tried))[-1]
        return last.dialog[0], len(peer.taken)

    first, taken = in_lab(story, schedule="postfix")
    assert first.startswith("S: 220")
    assert taken == 2


def test_c4_etrn_for_a_domain_that_is_not_kept_is_refused() -> None:
    async def story(lab: SimLab) -> list[str]:
        said = await talk(lab, "mx2", "ETRN example.test", "EHLO c.test", "ETRN other.test", "ETRN")
        return [said[1], said[3], said[4]]

    before_ehlo, other, none = in_lab(story)
    assert before_ehlo.startswith("503")
    assert other.startswith("459 4.7.1")
    assert none.startswith("501")


def test_c4_the_primarys_return_is_noticed_without_help() -> None:
    async def story(lab: SimLab) -> float:
        await backlog(lab)
        back = lab.clock.time()
        return (await until(lab, "mx1", events.MailboxDelivered, 5)).at - back

    assert in_lab(story, schedule="postfix") <= 4000 + SLACK


async def edit(lab: SimLab, action: str, *ids: str) -> int:
    return await lab.nodes["mx2"].request(QueueEdit(action, list(ids)))  # type: ignore[arg-type]


def test_c_hold_release_requeue_delete_and_expire() -> None:
    async def story(lab: SimLab) -> None:
        await lab.nodes["mx1"].kill()
        await send(lab, count=4)
        await lab.clock.sleep(2 * HOUR)
        held, requeued, deleted, expired = [entry.queue_id for entry in await queue(lab, "mx2")]
        assert await edit(lab, "hold", held) == 1
        assert await edit(lab, "delete", deleted) == 1
        assert await edit(lab, "expire", expired) == 1
        await lab.clock.sleep(TRAVEL)
        names = {entry.queue_id: entry.queue_name for entry in await queue(lab, "mx2")}
        assert names == {held: "hold", requeued: "deferred"}
        [report] = await reports(lab)
        assert report.status == "5.4.7"

        await lab.nodes["mx1"].start()
        assert await edit(lab, "requeue", requeued) == 1
        assert await delivered(lab) == 1
        await lab.nodes["mx2"].request(QueueFlush())
        await lab.clock.sleep(10 * DAY)  # a held message has no lifetime
        assert await delivered(lab) == 1
        assert await edit(lab, "release", held) == 1
        await lab.clock.sleep(TRAVEL)
        assert await queue(lab, "mx2") == []

    in_lab(story, schedule="postfix")


def test_c_a_requeued_message_is_routed_afresh() -> None:
    async def story(lab: SimLab) -> str:
        await lab.nodes["mx1"].kill()
        await send(lab)
        await lab.clock.sleep(2 * HOUR)
        other = Peer()
        put_peer(lab, "10.53.25.70", other)
        await zone(lab, "new A 10.53.25.70", "@ MX 5 new", "@ MX 20 mx2")
        [entry] = await queue(lab, "mx2")
        assert await edit(lab, "requeue", entry.queue_id) == 1
        await lab.clock.sleep(TRAVEL)
        return ",".join(other.taken[0].recipients)

    assert in_lab(story, schedule="postfix") == BOB


def test_c_a_held_message_survives_a_restart_on_hold() -> None:
    async def story(lab: SimLab) -> list[str]:
        await lab.nodes["mx1"].kill()
        await send(lab)
        await lab.clock.sleep(60)
        assert await edit(lab, "hold", "ALL") == 1
        await lab.nodes["mx2"].kill()
        await lab.nodes["mx2"].start()
        await lab.nodes["mx1"].start()
        await lab.clock.sleep(HOUR)
        return [entry.queue_name for entry in await queue(lab, "mx2")]

    assert in_lab(story) == ["hold"]


def test_c_qshape_counts_recipients_by_age_and_domain() -> None:
    async def story(lab: SimLab) -> dict[str, list[int]]:
        await lab.nodes["mx1"].kill()
        await close_port(lab, "mx2")
        await send(lab, BOB, "carol@example.test")
        await lab.clock.sleep(30 * MINUTE)
        await send(lab, count=3)
        await lab.clock.sleep(7 * MINUTE)
        await zone(lab, "other MX 10 mx2", without=())
        await send(lab, "x@other.example.test")
        await lab.clock.sleep(2 * MINUTE)
        return shape(await queue(lab, "client"), lab.clock.time())

    #                             5 10 20 40 80 160 320 640 1280 1280+
    assert in_lab(story, schedule="postfix") == {
        "TOTAL": [1, 3, 0, 2, 0, 0, 0, 0, 0, 0],
        "example.test": [0, 3, 0, 2, 0, 0, 0, 0, 0, 0],
        "other.example.test": [1, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    }


def test_c_a_message_that_is_being_tried_is_active() -> None:
    async def story(lab: SimLab) -> list[str]:
        await take_over(lab, "mx1", Peer(delay=10.0))
        await send(lab)
        await lab.clock.sleep(TRAVEL)
        return [entry.queue_name for entry in await queue(lab, "client")]

    assert in_lab(story) == ["active"]


def test_c_the_queue_tells_why_and_when() -> None:
    async def story(lab: SimLab) -> None:
        await close_port(lab, "mx1")
        await send(lab, count=5)
        await lab.clock.sleep(10)
        first, *_, second = sorted(await queue(lab, "client"), key=lambda entry: -entry.attempts)
        assert second.attempts == 0
        assert first.sender == ALICE
        reason = first.recipients[0].delay_reason
        assert "Connection refused" in reason
        [suspended] = second.recipients  # it was not tried itself
        assert suspended.delay_reason == f"delivery temporarily suspended: {reason}"
        for entry in (first, second):
            assert entry.queue_name == "deferred"
            assert entry.next_attempt == pytest.approx(EPOCH + 300, abs=SLACK)

    in_lab(story, mx=ALONE, schedule="postfix")
