"""MAIL-RULES C, connection reuse for a backlog: kept, shared out, given up, replaced when dead."""

import asyncio

import pytest

from mxlab_services.queue.ports import Deferred, Delivered
from mxlab_services.smtp.client import connect as connections
from tests.support.relay_lab import BOB, RelayLab
from tests.support.smtp_sink import Sink


async def test_a_connection_serves_one_message_after_another(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    for _ in range(5):
        assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 1
    assert len(sink.received) == 5
    assert sink.commands("RSET") == []
    assert lab.tried[4].dialog[0] == "C: <kept connection, message 5 on it>"
    assert lab.tried[4].stage == "done"


async def test_concurrent_messages_take_connections_of_their_own(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    await asyncio.gather(*(lab.one() for _ in range(4)))
    await asyncio.gather(*(lab.one() for _ in range(4)))
    assert sink.connections == 4
    assert len(sink.received) == 8


async def test_a_connection_is_given_up_after_a_hundred_messages(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    for _ in range(connections.MESSAGES + 1):
        await lab.one()
    assert sink.connections == 2
    assert lab.tried[connections.MESSAGES - 1].dialog[-1] == "C: QUIT"


async def test_an_idle_connection_is_closed_with_quit(
    lab: RelayLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE", 0.05)
    sink = Sink()
    await lab.hosts(sink)
    await lab.one()
    async with asyncio.timeout(5):
        await sink.all_closed()
    assert sink.commands()[-1] == "QUIT"


async def test_close_says_quit_on_idle_connections(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    await asyncio.gather(lab.one(), lab.one())
    await lab.relay.close()
    assert sink.commands("QUIT") == ["QUIT", "QUIT"]
    async with asyncio.timeout(5):
        await sink.all_closed()


@pytest.mark.parametrize("how", ["cut", "reset", "421 4.4.2 idle too long|cut"])
async def test_a_kept_connection_that_dies_before_mail_is_answered_is_replaced_once(
    lab: RelayLab, how: str
) -> None:
    sink, second = Sink({"MAIL": ["250 ok", how]}), Sink()
    await lab.hosts(sink, second)
    await lab.one()
    assert isinstance(await lab.one(), Delivered)
    assert (sink.connections, second.connections) == (2, 0)
    assert lab.stages == [("mx1", "done"), ("mx1", "done")]
    assert lab.outcomes == [("bob", "delivered", "mx1")] * 2
    assert lab.notebook.outcomes() == ["invoked", "acked"] * 2
    assert "C: <the kept connection was closed meanwhile: a new one>" in lab.tried[1].dialog


async def test_a_fresh_connection_that_dies_the_same_way_is_a_failure(lab: RelayLab) -> None:
    sink, second = Sink({"MAIL": ["250 ok", "cut", "cut"]}), Sink()
    await lab.hosts(sink, second)
    await lab.one()
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages[1:] == [("mx1", "mail"), ("mx2", "done")]
    assert lab.notebook.outcomes() == ["invoked", "acked", "invoked", "refused", "invoked", "acked"]


async def test_a_kept_connection_to_a_host_that_is_gone_moves_on(lab: RelayLab) -> None:
    sink, second = Sink({"MAIL": ["250 ok", "cut"], "greeting": ["220 ok", "cut"]}), Sink()
    await lab.hosts(sink, second)
    await lab.one()
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages[1:] == [("mx1", "greeting"), ("mx2", "done")]
    assert lab.notebook.outcomes()[2:] == ["invoked", "refused", "invoked", "acked"]


async def test_a_connection_closed_while_idle_is_not_used(lab: RelayLab) -> None:
    sink = Sink({"dot": ["250 ok|cut"]})
    await lab.hosts(sink)
    await lab.one()
    async with asyncio.timeout(5):
        await sink.all_closed()
    assert isinstance(await lab.one(), Delivered)
    assert sink.connections == 2
    assert lab.notebook.outcomes() == ["invoked", "acked"] * 2


async def test_a_transaction_that_failed_leaves_no_connection_behind(lab: RelayLab) -> None:
    sink = Sink({"RCPT": ["450 4.2.1 busy"]})
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Deferred)
    async with asyncio.timeout(5):
        await sink.all_closed()
    assert sink.commands()[-1] == "QUIT"
    assert lab.tried[0].dialog[-1] == "C: QUIT"


async def test_close_does_not_wait_for_a_peer_that_never_answers_quit(lab: RelayLab) -> None:
    await lab.hosts(Sink({"QUIT": ["hang"]}))
    await lab.one()
    async with asyncio.timeout(5):
        await lab.relay.close()


async def test_a_flood_of_replies_is_cut_off(lab: RelayLab) -> None:
    flood = "\r\n".join(["250 more"] * 30_000)
    await lab.hosts(Sink({"MAIL": [flood]}), Sink())
    assert isinstance((await lab.send(BOB))[BOB], Delivered)
    assert lab.stages[-1] == ("mx2", "done")


async def test_a_reply_without_end_is_cut_off(lab: RelayLab) -> None:
    await lab.hosts(Sink({"MAIL": ["250-" + "x" * 60_000]}), Sink())
    assert isinstance((await lab.send(BOB))[BOB], Delivered)
    assert lab.stages == [("mx1", "mail"), ("mx2", "done")]
