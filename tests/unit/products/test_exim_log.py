"""The grammar of Exim's log, on lines that Exim 4.96 wrote in a lab."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.products.base import (
    Arrived,
    Ended,
    Fact,
    HostTried,
    Left,
    Refusal,
    Serving,
    Told,
)
from mxlab_services.products.exim_log import EximGrammar

LINES = (Path(__file__).parent / "exim" / "mainlog").read_text().splitlines()
STAMP = "2026-11-27 23:16:44.808 "
ONE = "1xX5BM-00009h-2Y"


def facts_of(queue_id: str) -> list[Fact]:
    """What the lines with that queue id say, read in their order."""
    grammar, found = EximGrammar(), list[Fact]()
    for line in LINES:
        if f" {queue_id} " in line:
            facts = grammar.read(line)
            assert facts is not None, line
            found += facts
    return found


def read(*texts: str) -> list[Fact]:
    grammar, found = EximGrammar(), list[Fact]()
    for text in texts:
        facts = grammar.read(STAMP + text)
        assert facts is not None, text
        found += facts
    return found


@pytest.mark.parametrize("line", LINES)
def test_every_line_that_was_seen_is_understood(line: str) -> None:
    assert EximGrammar().read(line) is not None


def test_a_message_for_a_mailbox() -> None:
    assert facts_of("1xX53t-00000C-03") == [
        Arrived(
            "1xX53t-00000C-03",
            sender="alice@client.test",
            recipients=("bob@example.test",),
            size=509,
            message_id="<238g067q6.8072db622287@client.client.test>",
            peer="10.83.0.5",
            helo="client.client.test",
            protocol="ESMTP",
        ),
        Ended(
            "1xX53t-00000C-03", recipient="bob@example.test", outcome="delivered", reply="",
            mailbox=True, seconds=0.029, local_part="bob",
        ),
        Left("1xX53t-00000C-03"),
    ]  # fmt: skip


def test_a_local_part_with_a_space() -> None:
    arrived, ended, _ = facts_of("1xX54I-00000x-1z")
    assert isinstance(arrived, Arrived)
    assert isinstance(ended, Ended)
    assert arrived.recipients == ('"a b"@example.test',)
    assert ended.recipient == '"a b"@example.test'


def test_a_refused_connection_then_a_delivery() -> None:
    _, tried, waits, delivered, left = facts_of(ONE)
    assert tried == HostTried(
        ONE, host="mx1.example.test", address="10.83.0.3", stage="connect",
        reply="Connection refused",
    )  # fmt: skip
    assert waits == Ended(
        ONE, recipient="bob@example.test", outcome="deferred", reply="Connection refused"
    )
    assert delivered == Ended(
        ONE, recipient="bob@example.test", outcome="delivered",
        reply="250 2.0.0 Ok: queued as 25XKNBW0SBF4S", host="mx1.example.test",
        address="10.83.0.3", seconds=0.002,
    )  # fmt: skip
    assert left == Left(ONE)


def test_a_host_that_cannot_be_reached_is_named_once() -> None:
    _, tried, waits = facts_of("1xX50y-00000h-0G")
    assert isinstance(tried, HostTried)
    assert isinstance(waits, Ended)
    assert (tried.stage, tried.reply) == ("connect", "No route to host")
    assert (waits.host, waits.reply, waits.seconds) == (
        "mx1.example.test", "No route to host", 3.079,
    )  # fmt: skip


def test_a_host_of_which_no_line_of_its_own_told() -> None:
    """Exim logs a refused recipient once; the host was tried all the same."""
    _, tried, waits = facts_of("1xX5AK-00006d-1J")
    assert isinstance(tried, HostTried)
    assert (tried.stage, tried.reply) == ("rcpt", "451 4.0.0 refused by a fault of the lab")
    assert isinstance(waits, Ended)
    assert waits.outcome == "deferred"


def test_two_recipients_of_one_attempt_and_the_next_attempt() -> None:
    line = (
        "{} == {}@example.test R=mx T=smtp defer (-44) H=mx1.example.test [10.83.0.3]:25 DT=0.1s: "
        "SMTP error from remote mail server after RCPT TO:<{}@example.test>: 451 later"
    )
    said = read(*(line.format(ONE, one, one) for one in ("bob", "carol", "bob", "carol")))
    kinds = [type(fact).__name__ for fact in said]
    assert kinds == ["HostTried", "Ended", "Ended", "HostTried", "Ended", "Ended"]


def test_a_lost_acknowledgement_is_unknown() -> None:
    _, tried, ended = facts_of("1xX5BU-0000A7-0T")
    assert isinstance(tried, HostTried)
    assert isinstance(ended, Ended)
    assert (tried.stage, ended.outcome) == ("dot", "unknown")


def test_silence_before_the_dot_is_no_lost_acknowledgement() -> None:
    line = (
        f"{ONE} == bob@example.test R=mx T=smtp defer (110): Connection timed out "
        "H=mx1.example.test [10.83.0.3]:25 DT=10s: "
        "SMTP timeout after sending data block (8192 bytes written)"
    )
    tried, ended = read(line)
    assert isinstance(tried, HostTried)
    assert isinstance(ended, Ended)
    assert (tried.stage, ended.outcome, ended.seconds) == ("data", "deferred", 10.0)


def test_a_failure_and_its_bounce() -> None:
    _, tried, failed, left = facts_of("1xX5Am-000081-2r")
    assert isinstance(tried, HostTried)
    assert tried.stage == "dot"
    assert failed == Ended(
        "1xX5Am-000081-2r", recipient="bob@example.test", outcome="failed",
        reply="554 5.0.0 refused by a fault of the lab", host="mx1.example.test",
        address="10.83.0.3", seconds=0.003,
    )  # fmt: skip
    assert left == Left("1xX5Am-000081-2r")
    grammar, facts = EximGrammar(), list[Fact]()
    for line in LINES:
        facts += grammar.read(line) or ()
    bounce = next(fact for fact in facts if isinstance(fact, Arrived) and fact.about)
    assert (bounce.sender, bounce.about, bounce.protocol) == ("", "1xX5Am-000081-2r", "local")
    assert [fact for fact in facts if isinstance(fact, Told)] == [
        Told("1xX5Am-000081-2r", action="failed", notification="1xX5Am-000084-36")
    ]


def test_a_notification_without_a_failure_tells_of_a_delay() -> None:
    notice = f"1xX5Am-000084-36 <= <> R={ONE} U=mxlab P=local S=1949 from <> for alice@client.test"
    waits = f"{ONE} == bob@example.test R=mx T=smtp defer (111): Connection refused DT=0.000s"
    *_, told = read(waits, notice)
    assert told == Told(ONE, action="delayed", notification="1xX5Am-000084-36")


def test_that_no_retry_time_has_come_is_told_of_who_was_not_told_of() -> None:
    suspended = (
        f"{ONE} == bob@example.test R=mx T=smtp defer (-54) DT=0.000s: "
        "retry time not reached for any host for 'example.test'"
    )
    (first,) = read(suspended, suspended, f"{ONE} == bob@example.test routing defer (-52): wait")
    assert isinstance(first, Ended)
    assert first.reply == "retry time not reached for any host for 'example.test'"


def test_the_member_of_an_alias() -> None:
    line = (
        f"{ONE} => bob (staff@example.test) <team@example.test> F=<> P=<> R=mailboxes T=mailboxes "
        "S=1 QT=1s DT=1m5s"
    )
    (ended,) = read(line)
    assert isinstance(ended, Ended)
    told = (ended.recipient, ended.local_part, ended.seconds)
    assert told == ("team@example.test", "bob", 65.0)


@pytest.mark.parametrize(
    ("text", "refusal"),
    [
        (
            "H=(c) [10.83.0.5]:1 F=<alice@client.test> rejected RCPT <x@o.test>: no relaying",
            Refusal(
                verb="RCPT", reply="550 no relaying", peer="10.83.0.5",
                sender="alice@client.test", recipient="x@o.test",
            ),
        ),
        (
            "H=(c) [10.83.0.5]:1 F=<> temporarily rejected RCPT <x@o.test>: not now",
            Refusal(verb="RCPT", reply="451 not now", peer="10.83.0.5", recipient="x@o.test"),
        ),
        (
            "rejected EHLO from [10.83.0.5]:1: syntactically invalid argument(s): bad_helo name",
            Refusal(
                verb="EHLO", reply="501 syntactically invalid argument(s): bad_helo name",
                peer="10.83.0.5",
            ),
        ),
        (
            f"{ONE} H=(c) [10.83.0.5]:1 F=<> rejected after DATA: a line that is too long",
            Refusal(verb="DATA", reply="550 a line that is too long", peer="10.83.0.5"),
        ),
        (
            "rejected MAIL FROM:<a@c.test> H=(c) [10.83.0.5]:1: message too big: size=99 max=10",
            Refusal(
                verb="MAIL", reply="552 Message size exceeds maximum permitted", peer="10.83.0.5"
            ),
        ),
        (
            'SMTP syntax error in "FOO" H=(c) [10.83.0.5]:1 unrecognized command',
            Refusal(verb="FOO", reply="500 unrecognized command", peer="10.83.0.5"),
        ),
        (
            'SMTP protocol error in "DATA" H=(c) [10.83.0.5]:1 valid RCPT command must come first',
            Refusal(verb="DATA", reply="503 valid RCPT command must come first", peer="10.83.0.5"),
        ),
        (
            "unqualified recipient rejected: <bob> H=(c) [10.83.0.5]:1",
            Refusal(
                verb="RCPT", reply="501 recipient address must contain a domain",
                peer="10.83.0.5", recipient="bob",
            ),
        ),
    ],
)  # fmt: skip
def test_what_a_session_refuses(text: str, refusal: Refusal) -> None:
    assert read(text) == [refusal]


def test_the_daemon_serves() -> None:
    assert list(EximGrammar().read(LINES[0]) or ()) == [Serving()]
    assert read("exim 4.96 daemon started: pid=1, -q1s, not listening for SMTP connections") == []


@pytest.mark.parametrize(
    "line",
    [
        "not a line of a log",
        f"{STAMP}something that Exim has never said",
        f"{STAMP}{ONE} something that Exim has never said",
        f"{STAMP}{ONE} == bob@example.test R=mx T=smtp waits without a number",
    ],
)
def test_what_is_not_understood_is_none(line: str) -> None:
    assert EximGrammar().read(line) is None


def test_an_entry_goes_on_in_lines_of_its_own() -> None:
    assert EximGrammar().read("  Envelope-from: <alice@client.test>") == ()


@given(st.text(max_size=200), st.sampled_from(LINES), st.integers(0, 300), st.integers(0, 20))
def test_no_line_raises(text: str, line: str, at: int, cut: int) -> None:
    grammar = EximGrammar()
    for one in (text, STAMP + text, f"{STAMP}{ONE} {text}", line[:at] + text + line[at + cut :]):
        facts = grammar.read(one)
        assert facts is None or all(isinstance(fact, Fact) for fact in facts)
