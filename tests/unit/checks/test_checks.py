"""Every check can fail, passes on a good run, and says UNKNOWN where it has nothing to look at."""

from typing import Literal

import msgspec
import pytest

from mxlab.checks import judge as checks
from mxlab.checks.judge import judge
from mxlab.checks.registry import CHECKS
from mxlab.checks.result import Case, Check, CheckResult
from mxlab.history.evidence import Evidence
from mxlab.history.ledger import make_ledger
from mxlab.history.trace import Trace
from mxlab.model.condition import AnyCondition, Bounced, Deferred, Delivered, Queue
from mxlab.model.finding import Finding, Verdict, overall
from mxlab.model.topology import Family, Topology
from mxlab_services import events
from mxlab_services.control.replies import RecordEntry
from mxlab_services.events import Event
from tests.support.history import (
    ALICE,
    BOB,
    MESSAGE,
    History,
    accepted,
    mailbox,
    queued,
    routed,
    submitted,
    through_both,
    tried,
)

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN


def finding(name: str, history: History, trace: Trace | None = None) -> Finding:
    (found,) = judge([name], trace or history.trace(), history.evidence())
    return found


def verdict(name: str, history: History) -> Verdict:
    return finding(name, history).verdict


NOTHING_THERE = (
    "queued-at-sender", "bounces-justified", "failures-notified", "faults-struck",
    "no-expired-answers",
)  # fmt: skip


@pytest.mark.parametrize("name", [name for name in CHECKS if name not in NOTHING_THERE])
def test_a_good_run_passes(name: str) -> None:
    found = finding(name, through_both())
    assert found.verdict is PASS, found


@pytest.mark.parametrize("name", CHECKS)
def test_an_empty_run_is_unknown(name: str) -> None:
    empty = Evidence(topology=Topology())
    (found,) = judge([name], Trace(), empty)
    assert found.verdict is UNKNOWN


@pytest.mark.parametrize("name", CHECKS)
def test_where_a_check_may_be_idle_it_passes_but_not_on_evidence_with_gaps(name: str) -> None:
    empty = Evidence(topology=Topology())
    (found,) = judge([name], Trace(), empty, idle_passes=True)
    assert (found.verdict, found.text) == (PASS, "there was nothing to look at")
    gap = Trace()
    gap.add(Event(99.0, 77, "mx1", None, events.Flushed("all", 0)))
    gap.add(Event(99.0, 79, "mx1", None, events.Flushed("all", 0)))
    (found,) = judge([name], gap, empty, idle_passes=True)
    assert found.verdict is not PASS


@pytest.mark.parametrize("name", CHECKS)
def test_a_gap_in_the_trace_never_passes(name: str) -> None:
    history = through_both()
    trace = history.trace()
    trace.add(Event(99.0, 77, "mx1", None, events.Flushed("all", 0)))
    assert finding(name, history, trace).verdict is not PASS


@pytest.mark.parametrize("name", CHECKS)
def test_a_node_that_cannot_be_asked_never_passes(name: str) -> None:
    history = through_both()
    history.missing["mx1"] = "it is stopped"
    assert verdict(name, history) is not PASS


def test_a_check_that_crashes_is_unknown_and_says_why() -> None:
    def crash(_: Case) -> CheckResult:
        raise ZeroDivisionError("planted")

    history = through_both()
    (found,) = judge(["x"], history.trace(), history.evidence(), {"x": Check("x", "", "", crash)})
    assert found.verdict is UNKNOWN
    assert "ZeroDivisionError: planted" in found.text


def test_a_ledger_that_crashes_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> None:
        raise ValueError("planted")

    monkeypatch.setattr(checks, "make_ledger", crash)
    assert {verdict(name, through_both()) for name in CHECKS} == {UNKNOWN}


# --- nothing-lost ---


def test_mail_that_vanished_from_the_mailbox_is_lost() -> None:
    history = through_both()
    history.mailboxes["mx1"].clear()
    found = finding("nothing-lost", history)
    assert found.verdict is FAIL
    assert BOB in found.details[0]


def test_mail_that_the_client_alone_has_a_250_for_is_lost() -> None:
    history = through_both()
    entry = RecordEntry("<other@client.test>", BOB, "mx1.example.test", "acked", "250 Ok", 7.0)
    history.record.append(entry)
    assert verdict("nothing-lost", history) is FAIL


def test_mail_that_was_submitted_and_is_nowhere_is_lost() -> None:
    assert verdict("nothing-lost", submitted()) is FAIL


def test_lost_is_only_unknown_while_a_node_cannot_be_asked() -> None:
    history = submitted()
    history.missing["mx2"] = "it is stopped"
    assert verdict("nothing-lost", history) is UNKNOWN


def test_mail_that_still_waits_is_not_lost() -> None:
    history = submitted()
    history.queues["client"].append(queued())
    assert verdict("nothing-lost", history) is PASS


def test_a_refused_recipient_is_owed_nothing() -> None:
    history = through_both()
    entry = RecordEntry("<x@client.test>", BOB, "mx1.example.test", "refused", "550 no", 7.0)
    history.record.append(entry)
    assert verdict("nothing-lost", history) is PASS


def test_mail_that_an_operator_deleted_is_accounted_for() -> None:
    history = submitted()
    history.event("client", events.Edited("C1", "delete"))
    assert verdict("nothing-lost", history) is PASS


def bounced(*, stored: bool, delivered: bool) -> History:
    history = submitted()
    notice = "<n@client.test>"
    if stored:
        history.event("client", accepted("N1", to=ALICE), notice)
    sent = events.Bounced("N1", MESSAGE, "C1", ALICE, [BOB], "failed")
    history.event("client", sent, notice)
    if delivered:
        history.mailboxes["client"].append(mailbox(notice, ALICE))
    return history


def test_a_bounce_accounts_for_its_message() -> None:
    assert verdict("nothing-lost", bounced(stored=True, delivered=True)) is PASS


def test_a_notification_that_vanished_is_lost() -> None:
    found = finding("nothing-lost", bounced(stored=True, delivered=False))
    assert found.verdict is FAIL
    assert "<n@client.test>" in found.details[0]


def test_a_notification_that_was_never_queued_accounts_for_nothing() -> None:
    assert verdict("nothing-lost", bounced(stored=False, delivered=False)) is FAIL


def test_a_failure_of_a_null_sender_needs_no_notification() -> None:
    history = submitted()
    history.event("client", events.BounceSuppressed("C1", [BOB], "null reverse-path"))
    assert verdict("nothing-lost", history) is PASS


# --- nothing-forged, nothing-altered ---


def test_a_message_that_nobody_sent_is_forged() -> None:
    history = through_both()
    history.mailboxes["mx1"].append(mailbox("<never@sent.test>"))
    assert verdict("nothing-forged", history) is FAIL


def test_a_copy_for_somebody_else_is_forged() -> None:
    history = through_both()
    history.event("mx1", accepted("A9", "10.0.0.8", to="carol@example.test"))
    history.mailboxes["mx1"].append(mailbox(address="carol@example.test"))
    assert verdict("nothing-forged", history) is FAIL


def test_a_message_from_outside_the_client_is_not_forged() -> None:
    history = through_both()
    history.event("mx1", accepted("A9", "10.0.0.77"), "<by-hand@client.test>")
    history.mailboxes["mx1"].append(mailbox("<by-hand@client.test>"))
    assert verdict("nothing-forged", history) is PASS


def test_another_body_in_the_mailbox_is_altered() -> None:
    history = through_both()
    history.mailboxes["mx1"] = [mailbox(digest="d2")]
    assert verdict("nothing-altered", history) is FAIL


def test_another_body_at_a_hop_is_altered() -> None:
    history = through_both()
    history.event("mx2", accepted("B2", "10.0.0.9", digest="d2"))
    assert verdict("nothing-altered", history) is FAIL


# --- duplicates-explained ---


def twice() -> History:
    history = through_both()
    history.mailboxes["mx1"].append(mailbox())
    return history


def test_a_second_copy_without_a_reason_fails() -> None:
    assert verdict("duplicates-explained", twice()) is FAIL


def test_a_lost_reply_to_the_dot_explains_one_copy() -> None:
    history = twice()
    history.event("mx2", events.Outcome("B1", BOB, "unknown", "", "mx1.example.test"))
    found = finding("duplicates-explained", history)
    assert found.verdict is PASS
    assert "never read the reply to the final dot" in found.text
    history.mailboxes["mx1"].append(mailbox())
    assert verdict("duplicates-explained", history) is FAIL


def test_the_record_and_the_trace_of_one_unknown_explain_one_copy_only() -> None:
    history = twice()
    history.mailboxes["mx1"].append(mailbox())
    history.event("client", events.Outcome("C1", BOB, "unknown", "", "mx1.example.test"))
    history.record.append(RecordEntry(MESSAGE, BOB, "mx1.example.test", "unknown", "", 5.0))
    assert verdict("duplicates-explained", history) is FAIL


def test_another_clients_record_explains_a_copy_too() -> None:
    history = twice()
    lost = RecordEntry(MESSAGE, BOB, "mx1.example.test", "unknown", "", 5.0)
    evidence = msgspec.structs.replace(history.evidence(), records={"stranger": (lost,)})
    unit = make_ledger(history.trace(), evidence).units[MESSAGE, BOB]
    assert unit.unknowns == ["stranger's record of mx1.example.test ends without a reply"]


def test_what_another_client_alone_has_a_250_for_is_owed() -> None:
    history = through_both()
    entry = RecordEntry("<o@stranger.test>", BOB, "mx1.example.test", "acked", "250 Ok", 7.0)
    evidence = msgspec.structs.replace(history.evidence(), records={"stranger": (entry,)})
    assert make_ledger(history.trace(), evidence).units["<o@stranger.test>", BOB].state == "lost"


def test_a_transaction_that_the_client_died_in_is_an_unknown() -> None:
    history = twice()
    history.record.append(RecordEntry(MESSAGE, BOB, "mx1.example.test", "invoked", "", 5.0))
    assert verdict("duplicates-explained", history) is PASS


def test_a_node_that_died_in_an_attempt_explains_one_copy() -> None:
    history = twice()
    history.event("mx2", events.AttemptStarted("B1", "example.test", [BOB], 3))
    assert verdict("duplicates-explained", history) is FAIL
    history.event("mx2", events.NodeReady("mx", []), None)
    assert verdict("duplicates-explained", history) is PASS


# --- mx-order ---


def order_of(*tries: tuple[str, int], route: tuple[str, ...] = ("mx1", "mx2")) -> Verdict:
    history = submitted()
    history.event("client", events.AttemptStarted("C1", "example.test", [BOB], 1))
    mx = ["10 mx1.example.test", "20 mx2.example.test"]
    history.event("client", events.Lookup("example.test", "MX", "ok", mx, False))
    history.event("client", routed(*route))
    for host, preference in tries:
        history.event("client", tried("C1", host, preference))
    return verdict("mx-order", history)


def test_a3_hosts_tried_in_order_pass() -> None:
    assert order_of(("mx1", 10), ("mx2", 20)) is PASS


def test_a3_a_better_host_that_is_skipped_fails() -> None:
    assert order_of(("mx2", 20)) is FAIL


def test_a3_going_back_to_a_better_host_fails() -> None:
    assert order_of(("mx2", 20), ("mx1", 10), route=("mx2", "mx1")) is FAIL


def test_a3_a_route_in_the_wrong_order_fails() -> None:
    assert order_of(("mx2", 10), route=("mx2", "mx1")) is FAIL


def test_a7_a_backup_that_relays_to_itself_or_worse_fails() -> None:
    history = submitted()
    history.event("mx2", events.AttemptStarted("B1", "example.test", [BOB], 1))
    mx = ["10 mx1.example.test", "20 mx2.example.test", "20 mx3.example.test"]
    history.event("mx2", events.Lookup("example.test", "MX", "ok", mx, False))
    history.event("mx2", routed("mx3"))
    history.event("mx2", tried("B1", "mx3", 20))
    found = finding("mx-order", history)
    assert found.verdict is FAIL
    assert "no better than itself" in found.details[0]


# --- mx-order: addresses ---

SIX, FOUR = "2001:db8::2", "10.0.0.2"


def at_addresses(
    *places: tuple[str, str],
    outcome: Literal["delivered", "deferred", "unknown"] = "deferred",
    discarded: tuple[str, ...] = (),
    client_ip: tuple[Family, ...] = (4, 6),
) -> Finding:
    """One attempt: the client asks for two hosts of two addresses each, and tries these."""
    history = submitted()
    history.topology = Topology(ip=(4, 6), client_ip=client_ip)
    event = history.event
    event("client", events.AttemptStarted("C1", "example.test", [BOB], 1))
    for name in ("mx1.example.test", "mx2.example.test"):
        number = name[2]
        listed = [FOUR[:-1] + number, SIX[:-1] + number]
        event("client", events.Lookup(name, "A", "ok", listed, False))
    hosts = ["mx1.example.test", "mx2.example.test"]
    event("client", events.Routed("example.test", hosts, list(discarded), "", "RFC 5321 §5.1"))
    for host, address in places:
        name, preference = f"{host}.example.test", 10 * int(host[2])
        event("client", events.Tried("C1", name, address, preference, "connect", "", 0.1, []))
    event("client", events.Outcome("C1", BOB, outcome, ""))
    if outcome != "delivered":
        event("client", events.Deferred("C1", [BOB], 1, 9.0, "timed out"))
    return finding("mx-order", history)


BOTH = (("mx1", "2001:db8::1"), ("mx1", "10.0.0.1"), ("mx2", "2001:db8::2"), ("mx2", "10.0.0.2"))


def test_a5_an_attempt_at_all_addresses_passes_and_may_end_where_a_host_took_the_mail() -> None:
    assert at_addresses(*BOTH).verdict is PASS
    assert at_addresses(*BOTH[:1], outcome="delivered").verdict is PASS
    assert at_addresses(*BOTH[:3], outcome="unknown").verdict is PASS  # no second copy


@pytest.mark.parametrize(
    ("places", "words"),
    [
        ((BOTH[0], BOTH[2], BOTH[3]), "at 2001:db8::1 and never at 10.0.0.1"),
        (BOTH[:3], "mx2.example.test at 2001:db8::2 and never at 10.0.0.2"),
        (BOTH[:2], "never tried mx2.example.test"),
        ((BOTH[1], BOTH[0], *BOTH[2:]), "by IPv4 before IPv6"),
    ],
)
def test_a5_an_address_that_is_left_out_or_out_of_order_fails(
    places: tuple[tuple[str, str], ...], words: str
) -> None:
    found = at_addresses(*places)
    assert found.verdict is FAIL
    assert words in found.details[0]


def test_a5_an_address_of_a_family_that_the_sender_has_not_is_left_out() -> None:
    four = BOTH[1::2]
    assert at_addresses(*four, client_ip=(4,)).verdict is PASS
    found = at_addresses(*BOTH, client_ip=(4,))
    assert found.verdict is FAIL
    assert "has no address of that family" in found.details[0]


def test_a5_an_address_that_the_sender_discarded_for_a_reason_may_be_left_out() -> None:
    away = ("mx1.example.test[10.0.0.1]: it lies outside the lab's networks",)
    assert at_addresses(BOTH[0], *BOTH[2:], discarded=away).verdict is PASS


# --- the rest ---


def test_a_message_left_in_a_queue_fails() -> None:
    history = through_both()
    history.queues["mx2"].append(queued())
    found = finding("queues-empty", history)
    assert found.verdict is FAIL
    assert "connection refused" in found.details[0]


def test_what_is_queued_is_not_delivered() -> None:
    history = submitted()
    history.queues["client"].append(queued())
    assert verdict("all-delivered", history) is FAIL


def test_a_bounce_is_seen() -> None:
    assert verdict("nothing-bounced", bounced(stored=True, delivered=True)) is FAIL


def test_mail_that_never_waited_was_not_queued_at_the_backup_nor_at_the_sender() -> None:
    assert verdict("queued-at-backup", submitted()) is FAIL
    assert verdict("queued-at-sender", submitted()) is FAIL


def test_mail_that_waited_was_queued_there() -> None:
    history = submitted()
    history.event("client", events.Deferred("C1", [BOB], 1, 9.0, "timed out"))
    assert verdict("queued-at-sender", history) is PASS


def test_conditions_may_be_expected_of_the_end() -> None:
    expect: list[str | AnyCondition] = [
        Delivered("batch"), Bounced("batch"), Deferred("batch"),
        Queue("mx2", holds="batch"), Queue("mx2", count=0), Queue("mx2", count=1),
        Queue("gone", count=1),
    ]  # fmt: skip
    history = through_both()
    found = judge(expect, history.trace(), history.evidence())
    assert [f.verdict for f in found] == [PASS, FAIL, FAIL, FAIL, PASS, FAIL, UNKNOWN]


def test_the_overall_verdict_is_the_worst() -> None:
    def of(*verdicts: Verdict) -> Verdict:
        return overall(Finding("x", v, "") for v in verdicts)

    assert of(PASS, UNKNOWN, FAIL) is FAIL
    assert of(PASS, UNKNOWN) is UNKNOWN
    assert of(PASS) is PASS
    assert of() is UNKNOWN
