"""The checks of retry spacing and of failures, on traces made by hand."""

from collections.abc import Iterable

import msgspec

from mxlab.checks.failures import Failures, failures
from mxlab.checks.retry_spacing import Spacing, spacing
from mxlab.history.trace import Trace
from mxlab.model.topology import Exchange, RetryHabit, Topology
from mxlab_services import events
from mxlab_services.events import Body, Event

BOB, ALICE, HOME, KEY = "bob@example.test", "alice@client.test", "example.test", "<1@client>"
ACCEPTED = events.Accepted("Q1", ALICE, [BOB], 100, "d", "")
BEGUN = events.AttemptStarted("Q1", HOME, [BOB], 1)
BOUNCED = events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed")
SILENT = events.Tried("Q1", "mx1", "10.0.0.1", 10, "connect", "4.4.1 refused", 0.0, [])
Story = Iterable[tuple[float, Body]]


def trace_of(story: Story, message: str = KEY) -> Trace:
    trace = Trace()
    for seq, (at, body) in enumerate(story):
        trace.add(Event(at, seq, "client", message, body))
    return trace


def spaced(story: Story) -> Spacing:
    return spacing(trace_of(story), Topology(schedule="postfix"))


def judged(*story: tuple[float, Body]) -> Failures:
    return failures(trace_of(story), Topology(schedule="postfix"))


def kept(at: float, until: float) -> tuple[float, Body]:
    return at, events.Deferred("Q1", [BOB], 1, until, "why")


def said(word: str, reply: str, host: str = "mx1") -> events.Outcome:
    return events.Outcome("Q1", BOB, word, reply, host)  # type: ignore[arg-type]


def test_c_a_retry_at_its_time_is_right_and_before_it_wrong() -> None:
    failed = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(1.0, 301.0)]
    assert spaced([*failed, (301.0, BEGUN)]) == Spacing(1, [])
    (wrong, _) = spaced([*failed, (200.0, BEGUN)]).wrong
    assert "101.0 s too early" in wrong


def test_c_a_wait_shorter_than_the_schedules_is_wrong() -> None:
    (wrong,) = spaced([(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(1.0, 100.0)]).wrong
    assert "postfix says 300.0 s" in wrong


def test_c_a_wait_counts_from_the_failure_not_from_its_late_record() -> None:
    late = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(9.0, 301.0)]
    assert spaced([*late, (301.0, BEGUN)]).wrong == []


def test_c1_no_message_is_tried_where_no_host_answered() -> None:
    other = (2.0, events.AttemptStarted("Q2", HOME, [BOB], 1))
    failed = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(1.0, 301.0)]
    (wrong,) = spaced([*failed, other]).wrong
    assert "too early for any message" in wrong
    assert spaced([*failed, (1.5, events.Flushed("all", 1)), other]).wrong == []
    answered = events.Tried("Q1", "mx1", "10.0.0.1", 10, "rcpt", "451 later", 0.0, [])
    assert spaced([*failed[:2], (1.0, answered), kept(1.0, 301.0), other]).wrong == []


def test_c1_a_flush_between_a_failure_and_its_record_counts() -> None:
    flushed = (1.1, events.Flushed("all", 2))
    other = (2.0, events.AttemptStarted("Q2", HOME, [BOB], 1))
    story = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), flushed, kept(1.2, 301.2), other]
    assert spaced(story).wrong == []


def test_d1_a_failure_with_its_notification_is_right() -> None:
    bounce = events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed")
    found = judged(
        (0.0, ACCEPTED), (0.0, BEGUN), (1.0, said("failed", "550 5.1.1 no")),
        (1.0, bounce), (1.0, events.Removed("Q1")),
    )  # fmt: skip
    assert found == Failures(given_up=1, left=1)


def test_d1_a_failure_that_nobody_is_told_of_is_wrong() -> None:
    (wrong,) = judged(
        (0.0, ACCEPTED), (1.0, said("failed", "550 no")), (1.0, events.Removed("Q1"))
    ).untold
    assert "left the queue untold" in wrong


def test_d1_a_null_sender_is_never_told() -> None:
    null = events.Accepted("Q1", "", [BOB], 100, "d", "")
    bounce = events.Bounced("Q2", KEY, "Q1", "postmaster@example.test", [BOB], "failed")
    found = judged((0.0, null), (1.0, said("failed", "550 no")), (1.0, bounce))
    assert "has the null sender" in found.untold[0]
    silent = events.BounceSuppressed("Q1", [BOB], "null reverse-path")
    assert judged((0.0, null), (1.0, said("failed", "550 no")), (1.0, silent)).untold == []
    assert judged((0.0, ACCEPTED), (1.0, said("failed", "550 no")), (1.0, silent)).untold != []


def test_d3_who_asked_for_silence_is_not_told_and_nobody_else_goes_untold() -> None:
    asked = events.Accepted("Q1", ALICE, [BOB], 100, "d", "", silent=[BOB])
    failed = (1.0, said("failed", "550 no"))
    silent = (1.0, events.BounceSuppressed("Q1", [BOB], "the sender asked for none"))
    bounce = (1.0, events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed"))
    assert judged((0.0, asked), failed, silent).untold == []
    assert "told unasked" in judged((0.0, asked), failed, bounce).untold[0]
    assert "was not told" in judged((0.0, ACCEPTED), failed, silent).untold[0]


def test_a1_giving_up_on_a_temporary_failure_is_wrong() -> None:
    bounce = (4.0, events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed"))
    servfail = (1.0, events.Lookup(HOME, "MX", "servfail", [], False))
    gone = (1.0, events.Lookup(HOME, "MX", "nxdomain", [], False))
    routeless = (2.0, said("failed", "550 5.1.2 no such domain", ""))
    start = ((0.0, ACCEPTED), (0.0, BEGUN))
    assert "had only failed for now" in judged(*start, servfail, routeless, bounce).unjustified[0]
    assert judged(*start, gone, routeless, bounce).unjustified == []
    deferred = (2.0, said("deferred", "451 later"))
    assert "given up after 4 s" in judged(*start, deferred, bounce).unjustified[0]


def test_a7_the_address_of_an_exchange_that_is_no_better_changes_nothing() -> None:
    bounce = (4.0, events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed"))
    unsure = (1.0, events.Lookup("mx1.example.test", "A", "servfail", [], False))
    looped = (2.0, said("failed", "554 5.4.6 loops back to myself", ""))

    def given_up(preference: int) -> list[str]:
        answers = [f"{preference} mx1.example.test", "20 client.example.test"]
        listed = (1.0, events.Lookup(HOME, "MX", "ok", answers, False))
        return judged((0.0, ACCEPTED), (0.0, BEGUN), listed, unsure, looped, bounce).unjustified

    assert given_up(20) == []
    assert given_up(30) == []
    assert "had only failed for now" in given_up(10)[0]


def test_c_the_end_of_a_lifetime_justifies() -> None:
    late = (5 * 86400.0, BOUNCED)
    assert judged((0.0, ACCEPTED), (2.0, said("deferred", "451 later")), late).unjustified == []


def changed(at: float, key: str, new: str) -> tuple[float, Body]:
    return at, events.ConfigChanged(f"retry.{key}", "", new)


def test_a_wait_is_by_the_schedule_to_which_the_node_was_changed() -> None:
    short = [(5.0, BEGUN), (6.0, SILENT), kept(6.0, 10.0)]
    begun = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(1.0, 301.0)]
    asked = (4.0, events.Flushed("all", 1))
    to_workshop = changed(3.0, "schedule", '"workshop"')
    assert spaced([*begun, to_workshop, asked, *short]).wrong == []
    (wrong,) = spaced([*begun, asked, *short]).wrong
    assert "postfix says 300.0 s" in wrong
    back = changed(3.5, "schedule", '"exim"')
    (wrong,) = spaced([*begun, to_workshop, back, asked, *short]).wrong
    assert "exim says 900.0 s" in wrong


def test_a_wait_that_was_decided_before_the_change_is_right() -> None:
    late = changed(1.5, "schedule", '"exim"')  # while the disk took the outcome
    assert (
        spaced([(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), late, kept(2.0, 301.0)]).wrong == []
    )


def test_mail_is_given_up_at_the_lifetime_to_which_it_was_changed() -> None:
    def given_up(*change: tuple[float, Body]) -> list[str]:
        bounce = events.Bounced("Q2", KEY, "Q1", ALICE, [BOB], "failed")
        return judged((0.0, ACCEPTED), *change, (100.0, bounce)).unjustified

    assert given_up(changed(50.0, "lifetime", "60.0")) == []
    assert len(given_up()) == 1
    assert len(given_up(changed(50.0, "lifetime", "500.0"))) == 1
    assert len(given_up(changed(50.0, "lifetime", "60.0"), changed(60.0, "lifetime", "null"))) == 1


def test_c_each_host_is_judged_by_its_own_schedule() -> None:
    hasty = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, SILENT), kept(1.0, 100.0)]
    lab = Topology(schedule="postfix", client_retry=RetryHabit(schedule="workshop"))
    assert spacing(trace_of(hasty), lab).wrong == []
    (wrong,) = spacing(trace_of(hasty), Topology(client_retry=RetryHabit(schedule="rfc"))).wrong
    assert "rfc says 1800.0 s" in wrong
    others = Topology(mx=(Exchange("mx1", 10, schedule="rfc"),))
    assert spacing(trace_of(hasty), others).wrong == []


def test_c_a_product_counts_whole_real_seconds() -> None:
    lab = Topology(schedule="postfix", client_software="postfix")
    again = msgspec.structs.replace(BEGUN, attempt=2)
    silent = msgspec.structs.replace(SILENT, domain=HOME)
    story = [(0.0, ACCEPTED), (0.0, BEGUN), (1.0, silent), kept(1.0, 0.0)]
    for at, scale, wrong in ((301.0, 1.0, 0), (280.0, 1.0, 1), (280.0, 60.0, 0), (230.0, 60.0, 1)):
        trace = trace_of([*story, (at, again), (at, silent)])
        assert len(spacing(trace, lab, scale).wrong) == wrong


def test_c_each_host_may_give_up_at_the_end_of_its_own_lifetime() -> None:
    story = [(0.0, ACCEPTED), (0.0, BEGUN), kept(1.0, 301.0), (7300.0, BOUNCED)]
    assert judged(*story).unjustified != []
    lab = Topology(schedule="postfix", client_retry=RetryHabit(lifetime=7200.0))
    assert failures(trace_of(story), lab).unjustified == []


def test_c_a_clock_that_runs_fast_makes_a_second_of_a_moment() -> None:
    lab, given_up = Topology(lifetime=1200.0), "was given up after"
    for at, wrong in ((1189.0, False), (1150.0, True)):
        story = [(0.0, ACCEPTED), (0.0, BEGUN), kept(1.0, 301.0), (at, BOUNCED)]
        assert (given_up in str(failures(trace_of(story), lab).unjustified)) is wrong
