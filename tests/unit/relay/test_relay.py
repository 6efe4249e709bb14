"""MAIL-RULES B: the outcome at each stage, against servers that misbehave there."""

import socket

import pytest

from mxlab_services import events
from mxlab_services.message import Recipient
from mxlab_services.queue.ports import Deferred, Delivered, Failed, Route, Target
from mxlab_services.reply import Reply
from tests.support.relay_lab import BOB, BOTH, CAROL, CONTENT, DAVE, SERIAL, RelayLab
from tests.support.smtp_sink import Sink

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
    if reply == "hang":
        lab.impatient("helo" if stage == "ehlo" else stage)
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
    lab.impatient("connect")
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
