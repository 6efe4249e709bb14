"""The grammar of Postfix's log, on lines that Postfix 3.7.11 wrote in a lab, and on noise."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mxlab_services.products.base import (
    Arrived,
    Ended,
    Expired,
    Fact,
    HostTried,
    Left,
    Refusal,
    Serving,
    Told,
)
from mxlab_services.products.postfix_log import PostfixGrammar

LOGS = Path(__file__).parent / "logs"
FAULTS = (LOGS / "postfix-faults.log").read_text().splitlines()
OPERATOR = (LOGS / "postfix-operator.log").read_text().splitlines()
EXPIRY = (LOGS / "postfix-expiry.log").read_text().splitlines()
OURS = "Nov 27 23:07:30 mx2 postfix/"
ONE = "4jbpwL0vg4z7jfy"


def facts(lines: Sequence[str]) -> list[Fact]:
    grammar = PostfixGrammar()
    return [fact for line in lines for fact in grammar.read(line) or ()]


@pytest.mark.parametrize("log", [FAULTS, EXPIRY, OPERATOR], ids=["faults", "expiry", "operator"])
def test_every_line_is_understood(log: list[str]) -> None:
    grammar = PostfixGrammar()
    assert [line for line in log if grammar.read(line) is None] == []


def test_each_message_arrives_once_ends_once_and_leaves() -> None:
    told = facts(FAULTS)
    assert isinstance(told[0], Serving)
    arrived = [fact.queue_id for fact in told if isinstance(fact, Arrived)]
    left = [fact.queue_id for fact in told if isinstance(fact, Left)]
    assert len(arrived) == 22  # twenty of alice's, and two notifications
    assert sorted(arrived) == sorted(set(arrived)) == sorted(left)
    for queue_id in arrived:
        ends = [f for f in told if isinstance(f, Ended) and f.queue_id == queue_id]
        assert [end.outcome for end in ends if not end.goes_on][-1] in ("delivered", "failed")


def test_what_arrives_is_told_with_its_envelope() -> None:
    first = next(fact for fact in facts(FAULTS) if isinstance(fact, Arrived))
    assert first == Arrived(
        "4jbpz62JbBz7jTs", sender="alice@client.test", recipients=("bob@example.test",), size=431,
        message_id="<81132691@here.test>", peer="127.0.0.1", helo="here.test", protocol="ESMTP",
    )  # fmt: skip


def test_several_recipients_in_one_transaction() -> None:
    found = {f.queue_id: f for f in facts(EXPIRY) if isinstance(f, Arrived)}
    assert found["4jbqHP2Mxrz7jPS"].recipients == ("team@example.test", "carol@example.test")


def test_each_stage_at_which_a_host_was_left() -> None:
    stages = [(f.stage, f.reply[:3]) for f in facts(FAULTS) if isinstance(f, HostTried)]
    assert stages == [
        ("mail", "451"), ("greeting", "421"), ("greeting", "421"), ("data", "451"), ("dot", "451"),
        ("dot", "los"), ("rcpt", "los"), ("greeting", "los"), ("ehlo", "los"), ("data", "los"),
        ("dot", "los"), ("starttls", "los"), ("connect", "Con"), ("starttls", "Con"),
    ]  # fmt: skip


def test_a_lost_reply_to_the_dot_is_an_unknown_and_the_attempt_goes_on() -> None:
    doubtful = next(f for f in facts(FAULTS) if isinstance(f, Ended) and f.goes_on)
    ends = [f for f in facts(FAULTS) if isinstance(f, Ended) and f.queue_id == doubtful.queue_id]
    assert [(end.outcome, end.host) for end in ends] == [
        ("unknown", "mx1.example.test"), ("delivered", "mx2.example.test"),
    ]  # fmt: skip


def test_a_doubt_ends_with_its_attempt() -> None:
    grammar = PostfixGrammar()
    lost = f"lost connection with mx1.example.test[10.83.2.3] while sending end of data -- {DOUBT}"
    sent = "to=<bob@example.test>, relay=mx1.example.test[10.83.2.3]:25, delay=1, dsn=2.0.0, "
    assert grammar.read(f"{OURS}smtp[3]: {ONE}: {lost}")
    grammar.read(f"{OURS}qmgr[2]: {ONE}: from=<a@b.test>, size=9, nrcpt=1 (queue active)")
    told = grammar.read(f"{OURS}smtp[3]: {ONE}: {sent}status=sent (250 2.0.0 Ok)")
    assert [type(fact) for fact in told or ()] == [Ended]


DOUBT = "message may be sent more than once"


def test_a_doubt_at_the_last_host_is_unknown_too() -> None:
    line = (
        f"{OURS}smtp[3]: {ONE}: to=<bob@example.test>, relay=mx1.example.test[10.83.2.3]:25, "
        "delay=20, delays=0/0/0/20, dsn=4.4.2, status=deferred (conversation with "
        f"mx1.example.test[10.83.2.3] timed out while sending end of data -- {DOUBT})"
    )
    (end,) = facts([line])
    assert isinstance(end, Ended)
    assert (end.outcome, end.host, end.seconds) == ("unknown", "mx1.example.test", 20.0)


def test_refusals_by_the_edge() -> None:
    refused = [f for f in facts(EXPIRY) if isinstance(f, Refusal)]
    assert refused[0] == Refusal(
        "", verb="RCPT", peer="127.0.0.1", sender="alice@client.test",
        recipient="nobody@example.test",
        reply="550 5.1.1 <nobody@example.test>: Recipient address rejected: "
        "User unknown in relay recipient table",
    )  # fmt: skip
    assert [one.reply[:3] for one in refused] == ["550", "554", "554", "550"]


def test_a_delay_and_an_expiry_are_told_with_their_notifications() -> None:
    told = [f for f in facts(EXPIRY) if isinstance(f, Told)]
    assert [(f.action, f.notification) for f in told] == [
        ("delayed", "4jbqHT2QGjz7jW9"), ("failed", "4jbqHw3YXzz7jPQ"),
    ]  # fmt: skip
    about = [f for f in facts(EXPIRY) if isinstance(f, Arrived) and f.about]
    assert {(f.sender, f.recipients, f.about) for f in about} == {
        ("", ("alice@client.test",), "4jbqHP0tFjz7jNq")
    }
    assert [f.queue_id for f in facts(EXPIRY) if isinstance(f, Expired)] == ["4jbqHP0tFjz7jNq"]


def test_the_sender_is_told_before_the_message_is_gone() -> None:
    told = [f for f in facts(EXPIRY) if f.queue_id in ("4jbqHP0tFjz7jNq", "4jbqHw3YXzz7jPQ")]
    end = [type(f) for f in told if isinstance(f, Expired | Told | Arrived | Left)][-5:]
    assert end == [Expired, Told, Arrived, Left, Left]


def test_a_notification_is_told_of_in_whichever_order_the_lines_come() -> None:
    lines = [
        f"{OURS}cleanup[1]: {ONE}: message-id=<x@mx2.example.test>",
        f"{OURS}qmgr[2]: {ONE}: from=<>, size=9, nrcpt=1 (queue active)",
        f"{OURS}bounce[3]: 4jbqHP0tFjz7jNq: sender non-delivery notification: {ONE}",
    ]
    for order in (lines, [lines[0], lines[2], lines[1]]):
        arrived = [f for f in facts(order) if isinstance(f, Arrived)]
        assert [f.about for f in arrived] == ["4jbqHP0tFjz7jNq"]


def test_what_postfix_sends_of_itself_is_told_before_what_becomes_of_it() -> None:
    lines = [
        f"{OURS}cleanup[1]: {ONE}: message-id=<x@mx2.example.test>",
        f"{OURS}qmgr[2]: {ONE}: from=<>, size=9, nrcpt=1 (queue active)",
        f"{OURS}qmgr[2]: {ONE}: removed",
    ]
    assert [type(f) for f in facts(lines)] == [Arrived, Left]


def test_what_was_in_the_queue_before_does_not_arrive_again() -> None:
    line = f"{OURS}qmgr[7]: {ONE}: from=<alice@client.test>, size=480, nrcpt=1 (queue active)"
    assert facts([line]) == []


def test_other_lines() -> None:
    suspended = (
        f"{OURS}error[21]: {ONE}: to=<bob@example.test>, relay=none, delay=2.1, "
        "delays=2.1/0.02/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: "
        "connect to mx1.example.test[10.83.1.3]:25: Connection timed out)"
    )
    (end,) = facts([suspended])
    assert isinstance(end, Ended)
    assert (end.outcome, end.host) == ("deferred", "")
    assert end.reply.startswith("4.4.1 delivery temporarily suspended")
    local = (
        f"{OURS}virtual[17]: {ONE}: to=<bob@example.test>, relay=virtual, delay=0.02, "
        "delays=0.01/0.01/0/0, dsn=2.0.0, status=sent (delivered to maildir)"
    )
    (end,) = facts([local])
    assert isinstance(end, Ended)
    assert (end.outcome, end.host, end.mailbox) == ("delivered", "", True)
    for removed in ("removed", "requeued"):
        assert facts([f"{OURS}postsuper[9]: {ONE}: {removed}"]) == [Left(ONE)]
    for plain in (
        "postsuper[9]: Placed on hold: 2 messages",
        "anvil[8]: statistics: max connection rate 3/60s for (2525:10.83.1.5)",
        "scache[8]: statistics: start interval Nov 27 23:07:30",
        "master[1]: terminating on signal 15",
        "smtpd[5]: warning: haproxy read: EOF",
        "smtp[5]: warning: no MX host for x.test has a valid address record",
        f"cleanup[5]: warning: {ONE}: queue file size limit exceeded",
    ):
        assert PostfixGrammar().read(OURS + plain) == ()


@pytest.mark.parametrize(
    "line",
    ["", "postfix", "Nov 27 23:07:30 mx2 exim[1]: hello", f"{OURS}qmgr[2]: what is this",
     f"{OURS}smtp[2]: {ONE}: nobody has seen this", f"{OURS}unheard-of[2]: of"],
)  # fmt: skip
def test_what_is_not_understood_is_none(line: str) -> None:
    assert PostfixGrammar().read(line) is None


@given(st.binary(max_size=300))
def test_no_bytes_are_too_much(data: bytes) -> None:
    PostfixGrammar().read(data.decode("utf-8", "backslashreplace"))


@given(st.data())
def test_nothing_spoilt_is_too_much(data: st.DataObject) -> None:
    grammar = PostfixGrammar()
    for _ in range(5):
        line = data.draw(st.sampled_from([*FAULTS, *EXPIRY]))
        at = data.draw(st.integers(0, len(line)))
        noise = data.draw(st.text(max_size=8))
        grammar.read(line[:at] + noise + line[at + data.draw(st.integers(0, 20)) :])


def test_an_address_that_looks_like_a_log_line_is_an_address() -> None:
    odd = 'to=<"x, relay=none"@example.test>, relay=none, delay=1, dsn=4.0.0, status=deferred (no)'
    (end,) = facts([f"{OURS}smtp[1]: {ONE}: {odd}"])
    assert isinstance(end, Ended)
    assert end.recipient == '"x, relay=none"@example.test'


def test_a_sabotaged_log_is_seen() -> None:
    """The tests above can fail: a word changed in a line of the log leaves a line behind."""
    spoilt = [re.sub("queue active", "queue inert", line) for line in FAULTS]
    grammar = PostfixGrammar()
    assert any(grammar.read(line) is None for line in spoilt)
