"""MAIL-RULES B, the stage table through whole simulated labs: what follows from each reply.

::

    client ── connect ─ 220 ─ EHLO ─ MAIL ─ RCPT ─ DATA ─ . ──> a scripted peer in mx1's place
       └── next host (4yz, silence), bounce (5yz), or nobody knows (lost after the dot) ──> mx2
"""

from collections.abc import Mapping, Sequence

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab_services import events
from mxlab_services.control.requests import MailboxList, RecordRead
from mxlab_services.faults.kinds import LoseAck
from mxlab_services.faults.requests import FaultSet
from tests.support.peers import PLAIN, Copy, Peer, close_port, take_over
from tests.support.stories import (
    ALICE,
    BOB,
    CAROL,
    MINUTE,
    TRAVEL,
    address_of,
    happened,
    in_lab,
    queue,
    reports,
    send,
    until,
)

DAVE = "dave@example.test"
SERIAL = ("8BITMIME", "SIZE 1000000")
EITHER = pytest.mark.parametrize("extensions", [PLAIN, SERIAL], ids=["pipelined", "serial"])
Script = Mapping[str, Sequence[str]]
# What the client sees of a first exchange that does not serve; the verb at which it is told.
NO_SERVICE = {
    "refused": None,
    "timeout": None,
    "4yz greeting": {"CONNECT": ["421 4.3.2 not now"]},
    "no greeting": {"CONNECT": ["silence"]},
    "closed at once": {"CONNECT": ["cut"]},
    "5yz greeting": {"CONNECT": ["554 5.3.2 no service here"]},
    "4yz EHLO": {"EHLO": ["450 4.3.2 not now"]},
    "no reply to EHLO": {"EHLO": ["silence"]},
}


async def both(lab: SimLab, first: Peer, second: Peer | None = None) -> tuple[Peer, Peer]:
    """Scripted peers in the place of mx1 and mx2."""
    return await take_over(lab, "mx1", first), await take_over(lab, "mx2", second or Peer())


async def no_service(lab: SimLab, node: str, how: str) -> None:
    match how:
        case "refused":
            await close_port(lab, node)
        case "timeout":
            lab.network.link(address_of(lab, "client"), address_of(lab, node)).drop = True
        case _:
            await take_over(lab, node, Peer(NO_SERVICE[how] or {}))


async def outcomes(lab: SimLab) -> list[tuple[str, str, str]]:
    """Recipient, outcome, host of each transaction of the client."""
    return [
        (e.recipient.split("@")[0], e.outcome, e.host.split(".")[0])
        for e in await happened(lab, "client", events.Outcome)
        if e.recipient != ALICE
    ]


@pytest.mark.parametrize("how", NO_SERVICE)
def test_b_row_no_service_goes_to_the_next_mx(how: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        await no_service(lab, "mx1", how)
        second = await take_over(lab, "mx2", Peer())
        await send(lab)
        await lab.clock.sleep(MINUTE)
        assert [copy.recipients for copy in second.taken] == [[BOB]]
        assert [e.attempt for e in await happened(lab, "client", events.AttemptStarted)] == [1]
        return [e.host for e in await happened(lab, "client", events.Tried)]

    assert in_lab(story) == ["mx1.example.test", "mx2.example.test"]


@pytest.mark.parametrize("how", NO_SERVICE)
def test_b_row_no_service_at_the_last_defers_and_the_destination_is_dead(how: str) -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        await no_service(lab, "mx1", how)
        await no_service(lab, "mx2", how)
        await send(lab)
        await until(lab, "client", events.Deferred)
        dead = await happened(lab, "client", events.DestinationDead)
        assert [event.domain for event in dead] == ["example.test"]
        assert not await reports(lab)
        before = len(await happened(lab, "client", events.Tried))
        await send(lab)  # the next message does not try at all
        await lab.clock.sleep(0.5)
        return before, len(await happened(lab, "client", events.Tried)) - before

    assert in_lab(story, schedule="postfix") == (2, 0)


def test_b_row_5yz_greeting_goes_to_the_next_mx() -> None:
    async def story(lab: SimLab) -> int:
        _, second = await both(lab, Peer({"CONNECT": ["554 5.3.2 no service here"]}))
        await send(lab)
        await lab.clock.sleep(TRAVEL)
        assert not await reports(lab)
        return len(second.taken)

    assert in_lab(story) == 1


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_4yz_to_mail_data_or_the_dot_goes_to_the_next_mx(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[Copy]:
        first, second = await both(lab, Peer({verb: ["451 4.3.0 try later"]}, extensions))
        await send(lab, BOB, CAROL)
        await lab.clock.sleep(TRAVEL)
        assert not first.taken
        assert await queue(lab, "client") == []
        return second.taken

    [copy] = in_lab(story)
    assert copy.recipients == [BOB, CAROL]


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_4yz_to_mail_data_or_the_dot_of_the_last_defers(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[str]:
        busy = {verb: ["451 4.3.0 try later", "451 4.3.0 try later", ""]}
        first, second = await both(lab, Peer(busy, extensions), Peer(busy, extensions))
        await send(lab)
        await until(lab, "client", events.Deferred)
        [entry] = await queue(lab, "client")
        assert not await happened(lab, "client", events.DestinationDead)  # a host did answer
        await lab.clock.sleep(MINUTE)
        assert len(first.taken) + len(second.taken) == 1  # a later attempt
        assert not await reports(lab)
        return [recipient.delay_reason for recipient in entry.recipients]

    assert in_lab(story) == ["host mx2.example.test said: 451 4.3.0 try later"]


@EITHER
def test_b_row_4yz_to_rcpt_sends_that_recipient_to_the_next_mx(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> tuple[list[Copy], list[Copy]]:
        script = {f"RCPT {BOB}": ["450 4.2.1 mailbox busy"]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL, DAVE)
        await lab.clock.sleep(TRAVEL)
        return first.taken, second.taken

    [at_first], [at_second] = in_lab(story)
    assert at_first.recipients == [CAROL, DAVE]
    assert at_second.recipients == [BOB]


@EITHER
def test_b_row_4yz_to_rcpt_of_the_last_defers_that_recipient(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[str]:
        script = {f"RCPT {BOB}": ["450 4.2.1 mailbox busy"]}
        first, second = await both(lab, Peer(script, extensions), Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await until(lab, "client", events.Deferred)
        assert [copy.recipients for copy in first.taken] == [[CAROL]]
        assert not second.taken
        assert not await reports(lab)
        [entry] = await queue(lab, "client")
        return [recipient.address for recipient in entry.recipients]

    assert in_lab(story) == [BOB]


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_5yz_to_mail_data_or_the_dot_bounces_and_asks_no_other_mx(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str]]:
        script = {verb: ["554 5.7.0 no"]}
        _, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await lab.clock.sleep(TRAVEL)
        assert second.connections == 0
        assert await queue(lab, "client") == []
        [report] = await reports(lab)
        return [(r["Final-Recipient"], r["Status"]) for r in report.recipients]

    assert in_lab(story) == [(f"rfc822; {BOB}", "5.7.0"), (f"rfc822; {CAROL}", "5.7.0")]


@EITHER
def test_b_row_5yz_to_rcpt_bounces_that_recipient_only(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str]]:
        script = {f"RCPT {BOB}": ["550 5.1.1 no such user"]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await until(lab, "client", events.MailboxDelivered)
        assert [copy.recipients for copy in first.taken] == [[CAROL]]
        assert second.connections == 0
        [report] = await reports(lab)
        return [(r["Final-Recipient"], r["Status"]) for r in report.recipients]

    assert in_lab(story) == [(f"rfc822; {BOB}", "5.1.1")]


@EITHER
def test_b_row_452_too_many_sends_the_rest_in_another_transaction(
    extensions: Sequence[str],
) -> None:
    async def story(lab: SimLab) -> list[list[str]]:
        many = ["250 2.1.5 ok", "250 2.1.5 ok", "452 4.5.3 too many", "452 4.5.3 too many"]
        script = {"RCPT": [*many, ""]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, *(f"u{n}@example.test" for n in range(4)))
        await lab.clock.sleep(TRAVEL)
        assert second.connections == 0
        assert await queue(lab, "client") == []
        return [[address[:2] for address in copy.recipients] for copy in first.taken]

    assert in_lab(story) == [["u0", "u1"], ["u2", "u3"]]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@EITHER
def test_b_row_lost_before_the_dot_is_as_451(verb: str, extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str, str]]:
        _, second = await both(lab, Peer({verb: ["cut"]}, extensions))
        await send(lab)
        await lab.clock.sleep(TRAVEL)
        assert len(second.taken) == 1
        return await outcomes(lab)

    assert in_lab(story) == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]


def test_b_row_lost_within_the_data_is_as_451() -> None:
    async def story(lab: SimLab) -> list[tuple[str, str, str]]:
        first, second = await both(lab, Peer())
        lab.network.link(address_of(lab, "client"), address_of(lab, "mx1")).cut_after = 100_000
        await send(lab, size=300_000)
        await lab.clock.sleep(TRAVEL)
        assert not first.copies
        assert len(second.taken) == 1
        return await outcomes(lab)

    assert in_lab(story) == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_b_row_lost_after_the_dot_is_unknown_retried_and_on_record(how: str) -> None:
    """The peer has kept its copy, so the retry makes a second one; the record tells why."""

    async def story(lab: SimLab) -> tuple[list[tuple[str, str, str]], list[str]]:
        first, second = await both(lab, Peer({"DOT": [how, ""]}))
        await send(lab)
        await until(lab, "client", events.Outcome, like=lambda e: e.outcome == "delivered")
        assert second.connections == 0  # no other host is offered a copy
        assert [copy.recipients for copy in first.copies] == [[BOB], [BOB]]
        assert len({copy.content for copy in first.copies}) == 1
        record = await lab.nodes["client"].request(RecordRead())
        return await outcomes(lab), [entry.outcome for entry in record]

    seen, record = in_lab(story)
    assert seen == [("bob", "unknown", "mx1"), ("bob", "delivered", "mx1")]
    assert record == ["unknown", "acked"]


def test_b_row_an_acknowledgement_lost_after_the_commit_makes_an_explained_duplicate() -> None:
    async def story(lab: SimLab) -> tuple[set[str], list[str], list[str]]:
        await lab.nodes["mx1"].request(FaultSet("ack", LoseAck("mx1", first=1)))
        [sent] = await send(lab)
        await until(lab, "mx1", events.MailboxDelivered, 2)
        await lab.clock.sleep(TRAVEL)
        copies = await lab.nodes["mx1"].request(MailboxList(BOB))
        record = await lab.nodes["client"].request(RecordRead())
        assert {copy.digest for copy in copies} == {sent.digest}
        return {copy.message for copy in copies}, [sent.message], [e.outcome for e in record]

    found, sent, record = in_lab(story)
    assert found == set(sent)
    assert record == ["unknown", "acked"]
