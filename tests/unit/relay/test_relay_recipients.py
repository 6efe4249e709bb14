"""MAIL-RULES B: what a reply to RCPT means, for its recipient alone."""

import pytest

from mxlab_services.queue.ports import Deferred, Delivered, Failed
from mxlab_services.reply import Reply
from tests.support.relay_lab import BOB, BOTH, CAROL, DAVE, RelayLab
from tests.support.smtp_sink import Sink


@BOTH
async def test_b_4yz_to_rcpt_moves_that_recipient_to_the_next_mx(
    lab: RelayLab, extensions: tuple[str, ...]
) -> None:
    first, second = Sink({"RCPT": ["250 ok", "450 4.2.1 busy"]}, extensions=extensions), Sink()
    await lab.hosts(first, second)
    results = await lab.send(BOB, CAROL)
    assert [type(results[a]) for a in (BOB, CAROL)] == [Delivered, Delivered]
    assert first.received[0].rcpts == [f"RCPT TO:<{BOB}>"]
    assert second.received[0].rcpts == [f"RCPT TO:<{CAROL}>"]
    assert lab.outcomes == [
        ("bob", "delivered", "mx1"),
        ("carol", "deferred", "mx1"),
        ("carol", "delivered", "mx2"),
    ]


@BOTH
async def test_b_4yz_to_rcpt_after_the_last_defers_it(
    lab: RelayLab, extensions: tuple[str, ...]
) -> None:
    await lab.hosts(Sink({"RCPT": ["450 4.2.1 busy"]}, extensions=extensions))
    result = await lab.one()
    assert result == Deferred(Reply(450, "4.2.1", "busy"), "mx1.example.test")


@BOTH
async def test_b_5yz_to_rcpt_fails_that_recipient_only(
    lab: RelayLab, extensions: tuple[str, ...]
) -> None:
    first, second = Sink({"RCPT": ["550 5.1.1 unknown"]}, extensions=extensions), Sink()
    await lab.hosts(first, second)
    results = await lab.send(BOB, CAROL)
    assert results[BOB] == Failed(Reply(550, "5.1.1", "unknown"), "mx1.example.test")
    assert isinstance(results[CAROL], Delivered)
    assert second.connections == 0


@BOTH
async def test_b_all_recipients_refused_sends_no_data(
    lab: RelayLab, extensions: tuple[str, ...]
) -> None:
    sink = Sink({"RCPT": ["550 5.1.1 unknown", "550 5.1.1 unknown"]}, extensions=extensions)
    await lab.hosts(sink)
    results = await lab.send(BOB, CAROL)
    assert [type(result) for result in results.values()] == [Failed, Failed]
    assert sink.received == []
    assert lab.stages == [("mx1", "rcpt")]


async def test_b_data_taken_without_recipients_gets_a_lone_dot(lab: RelayLab) -> None:
    """RFC 2920 §3.1: a server may take DATA although it refused every RCPT."""
    sink = Sink({"RCPT": ["550 5.1.1 unknown"], "DATA": ["354 go on"], "dot": ["554 5.5.1 none"]})
    await lab.hosts(sink)
    assert await lab.one() == Failed(Reply(550, "5.1.1", "unknown"), "mx1.example.test")
    assert "C: ." in lab.tried[0].dialog
    assert not any("message," in line for line in lab.tried[0].dialog)


async def test_b_a_peer_that_goes_on_after_refusing_mail_gets_no_dot(lab: RelayLab) -> None:
    sink = Sink({"MAIL": ["451 4.3.0 later"], "DATA": ["354 go on"]})
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Deferred)
    assert "C: ." not in lab.tried[0].dialog
    assert sink.received == []


@BOTH
@pytest.mark.parametrize("reply", ["452 4.5.3 too many", "452 too many", "552 too many"])
async def test_b_too_many_recipients_go_in_another_transaction(
    lab: RelayLab, reply: str, extensions: tuple[str, ...]
) -> None:
    sink = Sink({"RCPT": ["250 ok", reply, reply, "250 ok", reply]}, extensions=extensions)
    await lab.hosts(sink, Sink())
    results = await lab.send(BOB, CAROL, DAVE)
    assert [type(result) for result in results.values()] == [Delivered] * 3
    assert sink.connections == 1
    assert [got.rcpts for got in sink.received] == [
        [f"RCPT TO:<{address}>"] for address in (BOB, CAROL, DAVE)
    ]
    assert lab.stages == [("mx1", "done")]
    assert lab.notebook.outcomes().count("invoked") == 3
    assert lab.outcomes[-1] == ("dave", "delivered", "mx1")


async def test_b_too_many_beside_4yz_keeps_the_two_apart(lab: RelayLab) -> None:
    first = Sink({"RCPT": ["250 ok", "450 4.2.1 busy", "452 4.5.3 too many", "250 ok"]})
    second = Sink()
    await lab.hosts(first, second)
    results = await lab.send(BOB, CAROL, DAVE)
    assert [type(result) for result in results.values()] == [Delivered] * 3
    assert [got.rcpts for got in first.received] == [[f"RCPT TO:<{BOB}>"], [f"RCPT TO:<{DAVE}>"]]
    assert [got.rcpts for got in second.received] == [[f"RCPT TO:<{CAROL}>"]]


async def test_b_too_many_and_then_the_connection_closes_takes_a_new_one(lab: RelayLab) -> None:
    first = Sink({"RCPT": ["250 ok", "452 4.5.3 too many"], "dot": ["250 ok|cut"]})
    await lab.hosts(first)
    results = await lab.send(BOB, CAROL)
    assert [type(result) for result in results.values()] == [Delivered] * 2
    assert (first.connections, len(first.received)) == (2, 1)


async def test_b_452_for_a_full_mailbox_is_not_too_many(lab: RelayLab) -> None:
    sink = Sink({"RCPT": ["250 ok", "452 4.2.2 mailbox full"]})
    await lab.hosts(sink)
    results = await lab.send(BOB, CAROL)
    assert results[CAROL] == Deferred(Reply(452, "4.2.2", "mailbox full"), "mx1.example.test")
    assert len(sink.received) == 1


async def test_b_452_for_the_only_recipient_goes_to_the_next_mx(lab: RelayLab) -> None:
    await lab.hosts(Sink({"RCPT": ["452 4.5.3 too many"]}), Sink())
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages == [("mx1", "rcpt"), ("mx2", "done")]


async def test_b_too_many_then_the_message_is_refused_fails_all(lab: RelayLab) -> None:
    second = Sink()
    await lab.hosts(
        Sink({"RCPT": ["250 ok", "452 4.5.3 too many"], "dot": ["554 5.6.0 no"]}), second
    )
    results = await lab.send(BOB, CAROL)
    assert [type(result) for result in results.values()] == [Failed, Failed]
    assert second.connections == 0


async def test_b5_a_hundred_recipients_go_in_one_transaction(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    results = await lab.send(*(f"user{number}@example.test" for number in range(100)))
    assert {type(result) for result in results.values()} == {Delivered}
    assert [len(got.rcpts) for got in sink.received] == [100]
