"""MAIL-RULES B: the outcome at each stage, against servers that misbehave there."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from tests.unit.relay_lab import BOB, CONTENT, RelayLab
from tests.unit.smtp_sink import Sink

from mxlab_services import events
from mxlab_services.config import Timeouts
from mxlab_services.mta.types import (
    Deferred,
    Delivered,
    Failed,
    Recipient,
    Reply,
    Route,
    Target,
)

CAROL, DAVE = "carol@example.test", "dave@example.test"
SERIAL = ("8BITMIME",)  # no PIPELINING
BOTH = pytest.mark.parametrize("extensions", [("PIPELINING",), SERIAL], ids=["pipelined", "serial"])


@pytest.fixture
async def lab() -> AsyncIterator[RelayLab]:
    lab = RelayLab()
    yield lab
    await lab.close()


# --- success -------------------------------------------------------------------------------------


async def test_delivered_with_the_peers_queue_id(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    result = await lab.one()
    ok = Reply(250, "2.0.0", "Ok: queued as 4Q0Z")
    assert result == Delivered(ok, "mx1.example.test", "4Q0Z", carries_dsn=False)
    [got] = sink.received
    assert (got.mail, got.rcpts) == (
        f"MAIL FROM:<alice@client.test> SIZE={len(CONTENT)}",
        [f"RCPT TO:<{BOB}>"],
    )
    assert got.content == CONTENT
    assert sink.commands("EHLO") == ["EHLO client.test"]
    assert sink.peers == ["127.77.0.9"]


async def test_b1_one_copy_per_server_for_many_recipients(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    results = await lab.send(BOB, CAROL, DAVE)
    assert [type(result) for result in results.values()] == [Delivered] * 3
    assert [len(got.rcpts) for got in sink.received] == [3]


async def test_the_dialog_is_told_with_the_data_elided(lab: RelayLab) -> None:
    await lab.hosts(Sink(extensions=SERIAL))
    await lab.one()
    [tried] = lab.tried
    assert (tried.host, tried.address, tried.preference) == ("mx1.example.test", "127.77.0.1", 10)
    assert (tried.stage, tried.reply) == ("done", "250 2.0.0 Ok: queued as 4Q0Z")
    assert 0 < tried.seconds < 5
    assert tried.dialog == [
        "S: 220 sink.test ESMTP",
        "C: EHLO client.test",
        "S: 250-sink.test greets you",
        "S: 250 8BITMIME",
        "C: MAIL FROM:<alice@client.test>",
        "S: 250 2.1.0 ok",
        f"C: RCPT TO:<{BOB}>",
        "S: 250 2.1.5 ok",
        "C: DATA",
        "S: 354 end with a dot",
        f"C: <message, {len(CONTENT)} bytes>",
        "C: .",
        "S: 250 2.0.0 Ok: queued as 4Q0Z",
        "C: <the connection stays open for more>",
    ]
    assert lab.outcomes == [("bob", "delivered", "mx1")]
    [outcome] = [event for event in lab.events if isinstance(event, events.Outcome)]
    assert (outcome.remote_id, outcome.queue_id) == ("4Q0Z", "Q1")


async def test_the_witness_knows_before_mail_is_sent(lab: RelayLab) -> None:
    await lab.hosts(Sink())
    await lab.send(BOB, CAROL)
    assert lab.notebook.mail_before == [0]
    message, host, ok = "<m@client.test>", "mx1.example.test", "250 2.0.0 Ok: queued as 4Q0Z"
    assert lab.notebook.pages == [
        ("invoked", message, host, BOB, CAROL),
        ("acked", message, host, BOB, ok),
        ("acked", message, host, CAROL, ok),
    ]


# --- the host does not take part: next MX, after the last defer as dead --------------------------


async def test_b_refused_connection_goes_to_the_next_mx(lab: RelayLab) -> None:
    second = Sink()
    await lab.hosts(Sink(), None, second)
    first = lab.sinks[0]
    assert first is not None
    await first.stop()
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages == [("mx1", "connect"), ("mx2", "connect"), ("mx3", "done")]
    assert lab.tried[0].reply == (
        f"4.4.1 connect to mx1.example.test[127.77.0.1]:{lab.port}: Connection refused"
    )
    assert lab.outcomes == [("bob", "delivered", "mx3")]


@pytest.mark.parametrize(
    ("verb", "reply", "stage"),
    [
        ("greeting", "421 4.3.2 closing|cut", "greeting"),
        ("greeting", "450 4.7.1 later", "greeting"),
        ("greeting", "cut", "greeting"),
        ("greeting", "reset", "greeting"),
        ("greeting", "hang", "greeting"),
        ("greeting", "HTTP/1.1 400 Bad Request", "greeting"),
        ("greeting", "554 5.3.2 no service here", "greeting"),
        ("EHLO", "421 4.3.2 closing|cut", "ehlo"),
        ("EHLO", "cut", "ehlo"),
        ("EHLO", "hang", "ehlo"),
    ],
)
async def test_b_no_greeting_or_ehlo_goes_to_the_next_mx(
    lab: RelayLab, verb: str, reply: str, stage: str
) -> None:
    await lab.hosts(Sink({verb: [reply]}), Sink())
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages == [("mx1", stage), ("mx2", "done")]
    assert lab.outcomes == [("bob", "delivered", "mx2")]
    assert lab.notebook.outcomes() == ["invoked", "acked"]


async def test_b_after_the_last_the_destination_is_dead(lab: RelayLab) -> None:
    await lab.hosts(
        Sink({"greeting": ["554 5.3.2 no"]}), Sink({"EHLO": ["421 4.3.2 closing|cut"]}), None
    )
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert (result.dead, result.unknown, result.host) == (True, False, "")
    assert result.reply.code == 0
    assert result.reply.text.endswith("Connection refused")
    assert lab.outcomes == [("bob", "deferred", "")]
    assert lab.notebook.pages == []


async def test_b_one_host_that_answers_means_not_dead(lab: RelayLab) -> None:
    await lab.hosts(Sink({"MAIL": ["451 4.3.0 later"]}), None)
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert not result.dead
    assert lab.outcomes == [("bob", "deferred", "mx1")]


async def test_b3_a_connection_that_is_not_accepted_times_out(lab: RelayLab) -> None:
    with socket.socket() as full:
        full.bind(("127.77.0.1", 0))
        full.listen(0)
        lab.port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        await lab.hosts(None, Sink())
        assert isinstance(await lab.one(), Delivered)
        for filler in fillers:
            filler.close()
    assert lab.stages == [("mx1", "connect"), ("mx2", "done")]
    assert lab.tried[0].reply.endswith("timed out after 0.3 s")


async def test_ehlo_refused_falls_back_to_helo(lab: RelayLab) -> None:
    sink = Sink({"EHLO": ["502 5.5.1 what?"]})
    await lab.hosts(sink)
    assert isinstance(await lab.one(), Delivered)
    assert [line.split()[0] for line in sink.commands()] == ["EHLO", "HELO", "MAIL", "RCPT", "DATA"]
    assert sink.received[0].mail == "MAIL FROM:<alice@client.test>"


# --- MAIL, DATA, the dot -------------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "dot"])
async def test_b_4yz_to_the_message_goes_to_the_next_mx(
    lab: RelayLab, verb: str, extensions: tuple[str, ...]
) -> None:
    await lab.hosts(Sink({verb: ["451 4.3.0 later"]}, extensions=extensions), Sink())
    assert isinstance(await lab.one(), Delivered)
    assert lab.stages == [("mx1", verb.lower()), ("mx2", "done")]
    assert lab.outcomes == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]
    assert lab.notebook.outcomes() == ["invoked", "refused", "invoked", "acked"]


@BOTH
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "dot"])
async def test_b_4yz_after_the_last_defers(
    lab: RelayLab, verb: str, extensions: tuple[str, ...]
) -> None:
    await lab.hosts(
        Sink(
            {
                verb: [
                    "451-4.3.0 not",
                ]
            },
            extensions=extensions,
        )
    )
    lab.sinks[0].script(verb, "451-4.3.0 come\r\n451 4.3.0 later")  # type: ignore[union-attr]
    result = await lab.one()
    assert result == Deferred(Reply(451, "4.3.0", "come later"), "mx1.example.test")


@BOTH
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "dot"])
async def test_b_5yz_to_the_message_fails_all_and_asks_no_other_mx(
    lab: RelayLab, verb: str, extensions: tuple[str, ...]
) -> None:
    second = Sink()
    await lab.hosts(Sink({verb: ["554 5.7.1 no"]}, extensions=extensions), second)
    results = await lab.send(BOB, CAROL)
    failed = Failed(Reply(554, "5.7.1", "no"), "mx1.example.test")
    assert results == {BOB: failed, CAROL: failed}
    assert second.connections == 0
    assert lab.outcomes == [("bob", "failed", "mx1"), ("carol", "failed", "mx1")]
    assert lab.notebook.outcomes() == ["invoked", "refused", "refused"]


# --- RCPT ----------------------------------------------------------------------------------------


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


# --- the connection is lost ----------------------------------------------------------------------


@BOTH
@pytest.mark.parametrize("how", ["cut", "reset", "hang", "421 4.3.2 closing|cut", "gibberish"])
@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
async def test_b_lost_before_the_dot_goes_to_the_next_mx(
    lab: RelayLab, verb: str, how: str, extensions: tuple[str, ...]
) -> None:
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
    long = b"Subject: long\r\n\r\n" + (b"0123456789abcdef" * 60 + b"\r\n") * 14_000
    await lab.hosts(Sink({"content": ["hang"]}, extensions=("PIPELINING",)))
    result = (await lab.deliver(lab.job(BOB, content=long)))[BOB]
    assert isinstance(result, Deferred)
    assert not result.unknown
    assert result.reply.text.startswith("data not taken within 0.3 s")


async def test_b_5yz_in_the_middle_of_a_long_message_fails_it(lab: RelayLab) -> None:
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
    lab.times = Timeouts(connect=5, greeting=5, command=5, data=5, dot=0.1)
    await lab.hosts(Sink({"dot": ["hang"]}))
    result = await lab.one()
    assert isinstance(result, Deferred)
    assert result.reply.text.startswith("no reply within 0.1 s with mx1.example.test[127.77.0.1]")


async def test_cancelled_it_drops_the_connection(lab: RelayLab) -> None:
    lab.times = Timeouts(dot=60)
    sink = Sink({"dot": ["hang"]})
    await lab.hosts(sink)
    task = asyncio.create_task(lab.send(BOB))
    async with asyncio.timeout(5):
        await sink.hanging.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert lab.notebook.outcomes() == ["invoked"]


# --- the walk ------------------------------------------------------------------------------------


async def test_a4_every_address_of_a_host_is_tried_in_order(lab: RelayLab) -> None:
    await lab.hosts(None, None, Sink())
    addresses = ("127.77.0.1", "127.77.0.2", "127.77.0.3")
    route = Route("example.test", (Target("mx1.example.test", 10, addresses),), ())
    [result] = (await lab.send(BOB, route=route)).values()
    assert isinstance(result, Delivered)
    assert [tried.address for tried in lab.tried] == list(addresses)


async def test_a_route_that_failed_is_the_result(lab: RelayLab) -> None:
    failure = Failed(Reply(550, "5.1.2", "no such domain"))
    route = Route("example.test", (), (), failure=failure)
    assert await lab.send(BOB, route=route) == {BOB: failure}
    assert lab.outcomes == [("bob", "failed", "")]


async def test_a_route_without_hosts_waits(lab: RelayLab) -> None:
    [result] = (await lab.send(BOB, route=Route("example.test", (), ()))).values()
    assert isinstance(result, Deferred)
    assert not result.dead


async def test_an_envelope_that_could_end_a_command_is_never_sent(lab: RelayLab) -> None:
    sink = Sink()
    await lab.hosts(sink)
    bad = Recipient("x@example.test>\r\nRSET")
    [result] = (await lab.deliver(lab.job(bad))).values()
    assert isinstance(result, Failed)
    assert result.reply.enhanced == "5.1.3"
    assert sink.commands("MAIL") == []
    assert lab.notebook.pages == []
