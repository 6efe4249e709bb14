"""Conditions on what was seen: each can hold, fail, and say UNKNOWN where there was nothing to look
at; on the way as in the end."""

import pytest

from mxlab import asked, attempt, bounced, notified, queue, reply
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.checks.conditions import rule_of
from mxlab.checks.judge import judge
from mxlab.checks.replies import replies_in
from mxlab.history.trace import Trace
from mxlab.model.condition import AnyCondition
from mxlab.model.finding import Verdict
from mxlab.model.replycode import code_fits
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import loads
from mxlab_services import events
from mxlab_services.events import Event
from tests.support.history import ALICE, BOB, MESSAGE, History, mailbox, submitted
from tests.support.scenario_text import END, HEAD

PASS, FAIL, UNKNOWN = Verdict.PASS, Verdict.FAIL, Verdict.UNKNOWN
NOTICE = "<n@mx1.example.test>"
PIPELINED = [
    "S: 220 mx1.example.test", "C: EHLO client.test", "S: 250-mx1.example.test", "S: 250 SIZE",
    "C: MAIL FROM:<a@client.test>", "C: RCPT TO:<b@example.test>", "C: RCPT TO:<c@example.test>",
    "C: DATA", "S: 250 2.1.0 Ok", "S: 450 4.2.2 busy", "S: 250 2.1.5 Ok", "S: 354 go on",
    "C: <message, 90 bytes>", "C: .", "S: 250 2.0.0 Ok",
]  # fmt: skip


def dialog(*lines: str, host: str = "mx1", address: str = "10.0.0.3") -> events.Tried:
    name = f"{host}.example.test"
    return events.Tried("C1", name, address, 10, "rcpt", "", 0.1, list(lines))


def talked() -> History:
    """The client met mx1, which said 450 to one recipient, asked for the domain before, and gave
    another message up."""
    history = submitted()
    ready = events.NodeReady("client", [], addresses=["10.0.0.9"])
    history.stream[0] = ("client", None, ready)
    history.event("dns", events.NodeReady("dns", [], addresses=["10.0.0.2"]), None)
    history.event(
        "dns", events.DnsQuery("Example.Test.", "MX", "NOERROR", [], "udp", "10.0.0.9"), None
    )
    history.event("client", dialog(*PIPELINED))
    return history


def told(address: str = ALICE, status: str = "5.1.1", *, stored: bool = True) -> History:
    """Its sender was told that it failed; the notification lies in the mailbox, if it is stored."""
    history = talked()
    bounce = events.Bounced(
        "N1", MESSAGE, "C1", address, [BOB], "failed", [status], [f"550 {status} no such user"]
    )
    taken = events.Accepted("N1", "", [address], 100, "d2", "")
    history.event("mx1", taken, NOTICE)
    history.event("mx1", bounce, NOTICE)
    if stored:
        history.event("client", events.MailboxDelivered("N2", address, "name", "d2"), NOTICE)
        history.mailboxes["client"] = [mailbox(NOTICE, address)]
    return history


def in_the_end(condition: AnyCondition, history: History) -> Verdict:
    (found,) = judge([condition], history.trace(), history.evidence())
    return found.verdict


@pytest.mark.parametrize(
    ("condition", "history", "verdict"),
    [
        (reply("mx1", 450), talked(), PASS),
        (reply("mx1", "4xx", verb="RCPT", batch="batch", by="client"), talked(), PASS),
        (reply("mx1", "4.2.2", count=1), talked(), PASS),
        (reply("mx1", 450, verb="MAIL"), talked(), FAIL),
        (reply("mx1", 450, count=2), talked(), FAIL),
        (reply("mx1", 450, count=0), talked(), FAIL),
        (reply("mx1", "5xx", count=0), talked(), PASS),
        (reply("mx2", "5xx", count=0), talked(), UNKNOWN),
        (reply("mx1", "5xx", by="mx2", count=0), talked(), UNKNOWN),
        (reply("mx2", "5xx"), talked(), FAIL),
        (attempt("mx1"), talked(), PASS),
        (attempt("mx1", by="client", batch="batch", count=1), talked(), PASS),
        (attempt("mx2"), talked(), FAIL),
        (attempt("mx2", count=0), talked(), PASS),
        (attempt("mx1", count=0), talked(), FAIL),
        (attempt("mx2", by="mx1", count=0), talked(), UNKNOWN),
        (attempt("mx2", batch="other", count=0), talked(), UNKNOWN),
        (attempt("mx1", at_least=2), talked(), FAIL),
        (asked("example.test"), talked(), PASS),
        (asked("example.test", type="MX", server="dns", by="client", count=1), talked(), PASS),
        (asked("example.test", type="A"), talked(), FAIL),
        (asked("example.test", by="mx1", count=0), talked(), UNKNOWN),
        (asked("other.test", by="client", count=0), talked(), PASS),
        (bounced("batch"), told(), PASS),
        (bounced("batch", code="5.1.1"), told(), PASS),
        (bounced("batch", code=550), told(), PASS),
        (bounced("batch", code="5xx"), told(), PASS),
        (bounced("batch", code="5.4.7"), told(), FAIL),
        (bounced("batch", code="5.1.1"), talked(), FAIL),
        (notified(ALICE), told(), PASS),
        (notified("Alice@CLIENT.test", code="5.1.1", batch="batch", count=1), told(), PASS),
        (notified(ALICE, code="5.4.7"), told(), FAIL),
        (notified(ALICE, kind="delayed"), told(), FAIL),
        (notified(ALICE, kind="delayed", count=0), told(), PASS),
        (notified(ALICE, batch="other", count=0), told(), UNKNOWN),
        (notified(ALICE, count=0), told(), FAIL),
        (notified(ALICE), told(stored=False), FAIL),
        (notified(ALICE, count=0), talked(), PASS),
        (notified(ALICE, count=0), History(), UNKNOWN),
        (notified("bob@client.test"), told(), FAIL),
        (queue("mx1", at_least=1), talked(), FAIL),
    ],
    ids=lambda value: str(value) if not isinstance(value, History) else "",
)
def test_in_the_end(condition: AnyCondition, history: History, verdict: Verdict) -> None:
    assert in_the_end(condition, history) is verdict


@pytest.mark.parametrize(
    "condition",
    [
        reply("mx1", "5xx", count=0), attempt("mx2", count=0), attempt("mx1"),
        asked("example.test"), notified(ALICE), notified(ALICE, kind="delayed", count=0),
        bounced("batch", code="5.1.1"),
    ],
    ids=str,
)  # fmt: skip
def test_a_gap_in_the_trace_never_passes(condition: AnyCondition) -> None:
    history = told()
    trace = history.trace()
    trace.add(Event(999.0, 77, "mx1", None, events.Flushed("all", 0)))
    (found,) = judge([condition], trace, history.evidence())
    assert found.verdict is UNKNOWN


def test_what_was_seen_too_often_fails_whatever_is_missing() -> None:
    history = talked()
    trace = history.trace()
    trace.add(Event(999.0, 77, "mx1", None, events.Flushed("all", 0)))
    (found,) = judge([attempt("mx1", count=0)], trace, history.evidence())
    assert found.verdict is FAIL


@pytest.mark.parametrize("condition", [reply("mx1", 450), attempt("mx1"), asked("example.test")])
def test_on_the_way_what_was_before_a_never_does_not_count(condition: AnyCondition) -> None:
    trace = talked().trace()
    assert rule_of(condition).seems(trace)
    rule = rule_of(condition)
    rule.begin(trace, 0.0)
    assert not rule.seems(trace)
    again = talked()
    for number, (node, message, body) in enumerate(again.stream):
        trace.add(Event(9000.0, 1000 + number, node, message, body))
    assert rule.seems(trace)


def test_on_the_way_a_batch_counts_as_soon_as_it_is_known() -> None:
    trace, rule = talked().trace(), rule_of(attempt("mx1", batch="batch"))
    assert not rule.seems(trace)
    trace.add_batch("batch", [(MESSAGE, [BOB])])
    assert rule.seems(trace)
    assert rule.seems(trace)  # and is counted once
    assert "seen once" in rule.observed(trace)


def test_on_the_way_a_notification_counts_once_it_lies_in_the_mailbox() -> None:
    rule = rule_of(notified(ALICE))
    assert not rule.seems(told(stored=False).trace())
    assert rule_of(notified(ALICE)).seems(told().trace())


def test_a_host_is_known_by_its_address_whatever_it_is_called() -> None:
    history = talked()
    history.event("mx2", events.NodeReady("mx", [], addresses=["10.0.0.4"]), None)
    history.event("client", dialog(host="mail", address="10.0.0.4"))
    assert in_the_end(attempt("mx2"), history) is PASS
    history.event("client", dialog(host="mx3", address="10.0.0.77"))
    assert in_the_end(attempt("mx3"), history) is PASS


def test_what_a_program_outside_was_told_the_server_says() -> None:
    history = submitted()
    history.event("mx1", events.Refused("RCPT", "550 5.1.1 no such user", "10.0.0.200"), None)
    assert in_the_end(reply("mx1", "5.1.1", verb="RCPT"), history) is PASS
    assert in_the_end(reply("mx1", "5.1.1", verb="RCPT", by="client"), history) is FAIL


def test_a_host_that_was_passed_over_was_not_tried() -> None:
    history = talked()
    skipped = events.Tried("C1", "mx2.example.test", "10.0.0.4", 20, "skipped", "", 0.0, [])
    history.event("client", skipped)
    assert in_the_end(attempt("mx2", count=0), history) is PASS


@pytest.mark.parametrize(
    ("lines", "replies"),
    [
        (
            PIPELINED,
            [
                ("CONNECT", "220"), ("EHLO", "250"), ("MAIL", "250"), ("RCPT", "450"),
                ("RCPT", "250"), ("DATA", "354"), ("DOT", "250"),
            ],
        ),
        (["S: 554 5.3.2 go away"], [("CONNECT", "554")]),
        (
            ["C: <kept connection, message 2 on it>", "C: MAIL FROM:<>", "S: 421 4.3.2 leaving",
             "C: <the kept connection was closed meanwhile: a new one>", "S: 220 hello",
             "C: EHLO client.test", "S: 250 mx1"],
            [("MAIL", "421"), ("CONNECT", "220"), ("EHLO", "250")],
        ),
        (["C: <connect to mx1: refused>"], []),
        (["S: 220 hello", "C: EHLO x", "S: <no reply within 5 s>"], [("CONNECT", "220")]),
    ],
)  # fmt: skip
def test_each_reply_answers_a_verb(lines: list[str], replies: list[tuple[str, str]]) -> None:
    assert [(verb, text[:3]) for verb, text in replies_in(lines)] == replies


def test_the_first_line_of_a_reply_has_its_enhanced_code() -> None:
    lines = ["C: MAIL FROM:<>", "S: 450-4.7.1 wait", "S: 450 4.7.1 longer"]
    assert list(replies_in(lines)) == [("MAIL", "450 4.7.1 wait")]


@pytest.mark.parametrize(
    ("code", "text", "fits"),
    [
        (450, "450 4.2.2 busy", True), (450, "451 4.2.2 busy", False), ("4.2.2", "450 4.2.2", True),
        ("4.2.2", "450 busy, not 4.2.2", False), ("4xx", "450 busy", True), ("4xx", "550", False),
        ("5xx", "5.1.1", True), ("5.1.1", "5.1.10", False), ("4xx", "connection refused", False),
    ],
)  # fmt: skip
def test_codes(code: int | str, text: str, fits: bool) -> None:
    assert code_fits(code, text) is fits


SEND = "  - send: {id: batch, from: alice@client.test, to: bob@example.test}\n"
GONE = "  - fault: {id: x, reply: {host: mx1, verb: RCPT, code: 550, text: 5.1.1 nobody}}\n"


def played(steps: str, end: str = END) -> RunResult:
    scenario = loads(HEAD + steps + end)
    return simulate(lambda: runner.run(scenario, SimBackend(), lab="seen", run_id="seen"))


def test_a_story_with_all_of_them() -> None:
    end = (
        "expect:\n"
        "  - reply: {from: mx1, verb: RCPT, code: 550, by: client}\n"
        "  - attempt: {host: mx2, batch: batch, count: 0}\n"
        "  - attempt: mx1\n"
        "  - bounced: {batch: batch, code: 5xx}\n"
        "  - notified: {address: alice@client.test, batch: batch, count: 1}\n"
        "  - asked: {name: example.test, type: MX, server: dns, by: client}\n"
        "  - asked: {name: example.test, by: mx1, count: 0}\n"
    )
    result = played(
        GONE + SEND + "  - eventually: {within: 1m, notified: alice@client.test}\n"
        "  - never: {during: 10s, attempt: mx1}\n"
        "  - never: {during: 10s, asked: example.test}\n",
        end,
    )
    said = {finding.check: finding.verdict for finding in result.findings}
    assert list(said.values()) == [PASS] * 9 + [UNKNOWN], said  # mx1 asks nobody anything
    assert result.verdict is UNKNOWN


def test_a_never_fails_at_the_first_that_is_seen() -> None:
    result = played(
        "  - parallel:\n    - never: {during: 1m, attempt: {host: mx1, by: client}}\n  " + SEND
    )
    (failed,) = [f for f in result.findings if f.check.startswith("step")]
    assert failed.verdict is FAIL
    assert "it happened: seen once" in failed.text


def test_an_empty_trace_has_nothing() -> None:
    assert not rule_of(attempt("mx1")).seems(Trace())
