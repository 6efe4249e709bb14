"""The merged trace: gaps, counters that conditions live on, and a message's biography."""

from collections.abc import Iterator

import pytest

from mxlab.checks.conditions import rule_of
from mxlab.history.biography import biography, describe
from mxlab.history.trace import LAB, Trace
from mxlab.model.condition import Bounced, Deferred, Delivered, Mailbox, Queue, Retries
from mxlab_services import events
from mxlab_services.events import KINDS, Body, Event, Source
from tests.support.history import ALICE, BOB, MESSAGE, accepted, submitted, through_both


def trace_of(*numbers: int) -> Trace:
    trace = Trace()
    for at, seq in enumerate(numbers):
        trace.add(Event(float(at), seq, "mx1", None, events.Flushed("all", 0)))
    return trace


def test_an_unbroken_stream_has_no_gap() -> None:
    assert trace_of(0, 1, 2, 0, 1, 0).gaps == []


def test_a_lost_line_shows() -> None:
    (gap,) = trace_of(0, 1, 4).gaps
    assert str(gap) == "mx1: events 2 to 3 are missing"


def test_a_lost_first_line_of_a_life_shows() -> None:
    assert len(trace_of(0, 1, 2, 3, 2).gaps) == 1
    assert len(trace_of(1).gaps) == 1


def test_events_are_merged_by_time_and_keep_their_nodes_order() -> None:
    trace = Trace()
    for at, seq, node in ((5.0, 0, "b"), (1.0, 0, "a"), (5.0, 1, "b"), (4.0, 1, "a")):
        trace.add(Event(at, seq, node, None, events.Flushed("all", 0)))
    assert [(e.node, e.seq) for e in trace.events()] == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]


def test_conditions_follow_the_events() -> None:
    trace = submitted().trace()
    at_client, at_backup = Queue("client", holds="batch"), Queue("mx2", holds="batch")
    assert not rule_of(at_client).seems(trace)  # no such batch yet
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    assert rule_of(at_client).seems(trace)
    assert rule_of(Queue("client", count=1)).seems(trace)
    assert not rule_of(at_backup).seems(trace)
    assert not rule_of(Delivered("batch")).seems(trace)
    assert rule_of(at_backup).observed(trace) == "mx2 holds 0 of 1; queued: 1 at client"


def test_what_was_before_a_node_was_erased_does_not_count() -> None:
    trace = Trace()
    delivered = events.MailboxDelivered("q1", BOB, "key", "digest")
    struck = events.FaultStruck("busy", "reply", "RCPT", "10.0.0.5")
    for seq, body in enumerate((delivered, struck)):
        trace.add(Event(1.0 + seq, seq, "mx1", MESSAGE, body))
    assert (trace.mailboxes[BOB].total(), trace.struck["busy"]) == (1, 1)
    trace.add(Event(3.0, 0, "mx1", None, events.NodeErased()))
    assert (trace.mailboxes[BOB].total(), trace.struck["busy"]) == (0, 0)
    assert [event.kind for event in trace.events()] == ["node.erased"]
    trace.add(Event(4.0, 1, "mx1", MESSAGE, delivered))
    assert trace.mailboxes[BOB].total() == 1


def test_a_batch_named_late_counts_what_came_before() -> None:
    trace = through_both().trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    assert rule_of(Delivered("batch")).seems(trace)
    assert not rule_of(Deferred("batch")).seems(trace)
    assert trace.queued.total() == 0


def test_a_batch_named_early_counts_the_same() -> None:
    early, late = Trace(), through_both().trace()
    early.add_batch("batch", [(MESSAGE, [BOB])])
    for event in late.events():
        early.add(event)
    late.add_batch("batch", [(MESSAGE, [BOB])])
    mine, other = early.batches["batch"], late.batches["batch"]
    assert (mine.delivered, mine.waiting, mine.deferred) == (1, 0, 1)
    assert (other.delivered, other.waiting, other.deferred) == (1, 0, 1)


def retried(*times: float) -> Iterator[Event]:
    for seq, at in enumerate(times, start=2):
        again = events.AttemptStarted("C1", "example.test", [BOB], seq)
        yield Event(at, seq, "client", MESSAGE, again)


@pytest.mark.parametrize(
    ("count", "seconds", "holds"),
    [(3, 10.0, True), (4, 10.0, False), (4, 100.0, True), (5, 1000.0, False), (2, 1.0, False)],
)
def test_retries_count_where_they_come_in_a_rush(count: int, seconds: float, holds: bool) -> None:
    """The first attempt is none, and the order in which nodes are heard does not matter."""
    rush = Retries("batch", count, seconds)
    early, late = submitted().trace(), submitted().trace()
    early.add_batch("batch", [(MESSAGE, [BOB])])
    for trace in (early, late):
        first = events.AttemptStarted("C1", "example.test", [BOB], 1)
        trace.add(Event(100.0, 1, "client", MESSAGE, first))
        for event in retried(108.0, 100.0, 104.0, 190.0):
            trace.add(event)
    late.add_batch("batch", [(MESSAGE, [BOB])])
    assert [rule_of(rush).seems(trace) for trace in (early, late)] == [holds, holds]
    most = {10.0: 3, 100.0: 4, 1000.0: 4, 1.0: 1}[seconds]
    said = f"of 4 retries at most {most} begin within {seconds:g} s"
    assert rule_of(rush).observed(early) == rule_of(rush).observed(late) == said


def test_deferred_takes_a_failed_attempt() -> None:
    history = submitted()
    trace = history.trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    assert not rule_of(Deferred("batch")).seems(trace)
    trace.add(Event(99.0, 2, "client", MESSAGE, events.Deferred("C1", [BOB], 1, 99.0, "no")))
    assert rule_of(Deferred("batch")).seems(trace)


def test_a_message_behind_a_dead_destination_counts_as_deferred() -> None:
    trace = submitted().trace()
    second = "<second@client.test>"
    trace.add(Event(8.0, 2, "client", second, accepted("C2")))
    trace.add_batch("batch", [(MESSAGE, [BOB]), (second, [BOB])])
    trace.add(Event(99.0, 3, "client", MESSAGE, events.Deferred("C1", [BOB], 1, 99.0, "no")))
    assert not rule_of(Deferred("batch")).seems(trace)
    dead = events.DestinationDead("example.test", 99.0, "no")
    trace.add(Event(99.0, 4, "client", MESSAGE, dead))
    assert rule_of(Deferred("batch")).seems(trace)


def test_what_was_not_tried_is_deferred_only_where_its_own_host_has_found_out() -> None:
    """What other hosts have, which may not tell what they leave alone, was tried there."""
    trace = submitted().trace()
    second = "<second@client.test>"
    trace.add(Event(8.0, 0, "mx2", second, accepted("M2")))
    trace.add_batch("batch", [(MESSAGE, [BOB]), (second, [BOB])])
    trace.add(Event(99.0, 3, "client", MESSAGE, events.Deferred("C1", [BOB], 1, 99.0, "no")))
    dead = events.DestinationDead("example.test", 99.0, "no")
    trace.add(Event(99.0, 4, "client", MESSAGE, dead))
    assert not rule_of(Deferred("batch")).seems(trace)
    trace.add(Event(99.0, 1, "mx2", second, dead))
    assert rule_of(Deferred("batch")).seems(trace)
    trace.add(Event(99.0, 5, "client", MESSAGE, events.DestinationAlive("example.test")))
    assert rule_of(Deferred("batch")).seems(trace)


def test_a_bounce_counts_for_its_message() -> None:
    trace = submitted().trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    sent = events.Bounced("N1", MESSAGE, "C1", ALICE, [BOB], "failed")
    trace.add(Event(99.0, 2, "client", "<n@client.test>", sent))
    assert rule_of(Bounced("batch")).seems(trace)


def test_what_a_damaged_spool_lost_is_not_queued() -> None:
    trace = submitted().trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    trace.add(Event(99.0, 0, "client", None, events.SpoolDamaged("page 3", 0, ["C1"])))
    assert trace.queued["client"] == 0
    assert not rule_of(Queue("client", holds="batch")).seems(trace)


def test_a_node_that_comes_back_with_an_empty_queue_holds_nothing() -> None:
    """The kill took the event that told of the message's end."""
    trace = submitted().trace()
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    trace.add(Event(9.0, 0, "client", None, events.NodeReady("client", [], queued=1)))
    assert trace.queued["client"] == 1
    trace.add(Event(9.0, 0, "client", None, events.NodeReady("client", [], queued=0)))
    assert trace.queued["client"] == 0
    assert not rule_of(Queue("client", holds="batch")).seems(trace)


def test_mailboxes_are_counted_by_address_and_host() -> None:
    trace = through_both().trace()
    assert rule_of(Mailbox(BOB, count=1)).seems(trace)
    assert rule_of(Mailbox(BOB.upper(), at_least=1, host="mx1")).seems(trace)
    assert not rule_of(Mailbox(BOB, at_least=1, host="mx2")).seems(trace)
    assert not rule_of(Mailbox(ALICE, at_least=1)).seems(trace)
    assert rule_of(Mailbox(ALICE, count=0)).seems(trace)
    assert (
        rule_of(Mailbox(BOB, count=2)).observed(trace) == f"the mailbox of {BOB} holds 1 messages"
    )


def test_a_biography_tells_every_hop_with_its_section() -> None:
    trace = through_both().trace()
    trace.add(Event(2.5, 0, LAB, None, events.LabFault("down", "kill", "mx1")))
    text = "\n".join(biography(trace, MESSAGE))
    for part in (
        "+0s  client  is responsible now: durable as C1",
        "fault down: kill mx1",
        "looks up example.test MX: 10 mx1.example.test, 20 mx2.example.test (RFC 5321 §5.1)",
        "tries mx1.example.test [10.0.0.1] (preference 10), as far as connect",
        "mx2     is responsible now: durable as B1",
        "keeps B1 for bob@example.test after attempt 1: timed out (RFC 5321 §4.5.4.1)",
        "delivered to the mailbox of bob@example.test",
    ):
        assert part in text


def test_a_biography_begins_with_the_faults_in_effect() -> None:
    trace = Trace()
    fault = events.LabFault
    for at, body in enumerate(
        (fault("a", "kill", "mx1"), fault("b", "stop", "mx2"), events.LabHealed("a"))
    ):
        trace.add(Event(float(at), at, LAB, None, body))
    trace.add(Event(99.0, 0, "client", MESSAGE, accepted("C1")))
    lines = biography(trace, MESSAGE)
    assert lines[1].endswith("fault b: stop mx2")
    assert len(lines) == 3


def test_what_is_known_of_another_product_says_from_where() -> None:
    trace = Trace()
    whence: tuple[Source, ...] = ("log", "queue", "proxy", "")
    for seq, source in enumerate(whence):
        trace.add(Event(1.0, seq, "mx2", MESSAGE, events.Removed("B1"), source))
    lines = biography(trace, MESSAGE)[1:]
    assert [line.partition("is done with B1")[2] for line in lines] == [
        " [log]", " [queue]", " [proxy]", "",
    ]  # fmt: skip


def test_a_bounce_stands_in_the_life_of_its_message() -> None:
    trace = submitted().trace()
    sent = events.Bounced("N1", MESSAGE, "C1", ALICE, [BOB], "failed")
    trace.add(Event(99.0, 2, "client", "<n@client.test>", sent))
    last = biography(trace, MESSAGE)[-1]
    assert f"tells {ALICE} that it is failed for {BOB}: notification <n@client.test>" in last


def test_an_unknown_message_is_said_to_be_so() -> None:
    assert biography(Trace(), "<x@y>") == ["<x@y>: no event names this message"]


def test_every_kind_of_event_has_words() -> None:
    example: dict[object, object] = {int: 1, float: 1.0, str: "x", bool: False}
    for kind, body in KINDS.items():
        values = {
            name: example.get(hint, ["x"] if "list" in str(hint) else "delivered")
            for name, hint in body.__annotations__.items()
            if name != "kind"
        }
        made: Body = body(**values)
        words = describe(Event(0.0, 0, "n", None, made))
        assert words
        assert words != kind, kind


def test_settings_that_were_changed_stand_in_the_stories_of_who_may_have_met_them() -> None:
    trace = Trace()
    change = events.ConfigChanged
    for at, body in enumerate(
        (
            change("limits.hops", "100", "9"),
            change("limits.hops", "9", "8"),
            accepted("Q1"),
            change("limits.errors", "20", "1"),
            events.Removed("Q1"),
            change("limits.errors", "1", "2"),
        )
    ):
        message = None if isinstance(body, change) else MESSAGE
        trace.add(Event(float(at), at, "mx1", message, body))
    told = [line for line in biography(trace, MESSAGE) if "another setting" in line]
    assert [line.partition("setting: ")[2] for line in told] == [
        "limits.hops = 8, was 9",
        "limits.errors = 1, was 20",
    ]
