"""MAIL-RULES B: connections lost and peers gone silent, before and after the final dot."""

import asyncio

import pytest

from mxlab_services.queue.ports import Deferred, Delivered, Failed
from mxlab_services.reply import Reply
from tests.support.relay_lab import BOB, BOTH, CAROL, DAVE, SERIAL, RelayLab
from tests.support.smtp_sink import Sink


@BOTH
@pytest.mark.parametrize("how", ["cut", "reset", "hang", "421 4.3.2 closing|cut", "gibberish"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
async def test_b_lost_before_the_dot_goes_to_the_next_mx(
    lab: RelayLab, verb: str, how: str, extensions: tuple[str, ...]
) -> None:
    if how == "hang":
        lab.impatient(verb.lower())
    await lab.hosts(Sink({verb: [how]}, extensions=extensions), Sink())
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages == [("mx1", verb.lower()), ("mx2", "done")]
    assert lab.outcomes == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]
    assert lab.notebook.outcomes() == ["invoked", "refused", "invoked", "acked"]


async def test_b_lost_before_the_dot_after_the_last_defers(lab: RelayLab) -> None:
    await lab.hosts(Sink({"DATA": ["cut"]}))
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert not result.unknown
    assert str(result.reply) == (
        f"4.4.2 lost connection with mx1.example.test[127.77.0.1]:{lab.port} after DATA"
    )


async def test_b_421_at_a_recipient_takes_those_accepted_along(lab: RelayLab) -> None:
    await lab.hosts(Sink({"RCPT": ["250 ok", "421 4.3.2 closing|cut"]}), Sink())
    results = await lab.send(BOB, CAROL, DAVE)
    assert [type(result) for result in results.values()] == [Delivered] * 3
    first = [(who, what) for who, what, host in lab.outcomes if host == "mx1"]
    assert first == [("bob", "deferred"), ("carol", "deferred"), ("dave", "deferred")]


async def test_b_lost_within_a_long_message_is_before_the_dot(lab: RelayLab) -> None:
    long = b"Subject: long\r\n\r\n" + (b"0123456789abcdef" * 60 + b"\r\n") * 14_000
    first = Sink({"content": ["cut"]}, extensions=("PIPELINING",))
    second = Sink(extensions=("PIPELINING",))
    await lab.hosts(first, second)
    result = await lab.deliver(lab.job(BOB, content=long))
    assert isinstance(result[BOB], Delivered)
    assert lab.stages == [("mx1", "data"), ("mx2", "done")]
    assert second.received[0].content == long


async def test_b3_a_peer_that_stops_reading_a_long_message_times_out(lab: RelayLab) -> None:
    lab.impatient("block")
    long = b"Subject: long\r\n\r\n" + (b"0123456789abcdef" * 60 + b"\r\n") * 14_000
    await lab.hosts(Sink({"content": ["hang"]}, extensions=("PIPELINING",)))
    result = (await lab.deliver(lab.job(BOB, content=long)))[BOB]
    assert isinstance(result, Deferred)
    assert not result.unknown
    assert result.reply.text.startswith("data not taken within 0.3 s")


async def test_b_5yz_in_the_middle_of_a_long_message_fails_it(lab: RelayLab) -> None:
    lab.impatient("block")
    long = b"Subject: long\r\n\r\n" + (b"0123456789abcdef" * 60 + b"\r\n") * 14_000
    second = Sink()
    await lab.hosts(Sink({"content": ["552 5.3.4 too much|hang"]}, extensions=SERIAL), second)
    result = (await lab.deliver(lab.job(BOB, content=long)))[BOB]
    assert result == Failed(Reply(552, "5.3.4", "too much"), "mx1.example.test")
    assert second.connections == 0


@pytest.mark.parametrize("how", ["cut", "reset", "hang", "gibberish", "354 go on"])
async def test_b_lost_after_the_dot_is_unknown_and_asks_no_other_mx(
    lab: RelayLab, how: str
) -> None:
    second = Sink()
    if how == "hang":
        lab.impatient("dot")
    await lab.hosts(Sink({"dot": [how]}), second)
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert (result.unknown, result.dead, result.host) == (True, False, "mx1.example.test")
    assert second.connections == 0
    assert lab.stages == [("mx1", "dot")]
    assert any("no other host is offered a second copy" in line for line in lab.tried[0].dialog)
    assert lab.outcomes == [("bob", "unknown", "mx1")]
    assert lab.notebook.outcomes() == ["invoked", "unknown"]


async def test_b_unknown_for_one_still_moves_the_other_on(lab: RelayLab) -> None:
    second = Sink()
    await lab.hosts(Sink({"RCPT": ["250 ok", "450 4.2.1 busy"], "dot": ["cut"]}), second)
    results = await lab.send(BOB, CAROL)
    unknown = results[BOB]
    assert isinstance(unknown, Deferred)
    assert unknown.unknown
    assert isinstance(results[CAROL], Delivered)
    assert second.received[0].rcpts == [f"RCPT TO:<{CAROL}>"]


async def test_b3_the_final_dot_has_its_own_timeout(lab: RelayLab) -> None:
    lab.impatient("dot")
    await lab.hosts(Sink({"dot": ["hang"]}))
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert result.reply.text.startswith("no reply within 0.3 s with mx1.example.test[127.77.0.1]")


async def test_cancelled_it_drops_the_connection(lab: RelayLab) -> None:
    sink = Sink({"dot": ["hang"]})
    await lab.hosts(sink)
    task = asyncio.create_task(lab.send(BOB))
    async with asyncio.timeout(5):
        await sink.hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert lab.notebook.outcomes() == ["invoked"]
