"""What people type, and whether it is the right answer."""

import pytest

from mxlab.learn.match import (
    Addresses,
    Code,
    HostNames,
    IpAddress,
    Number,
    Span,
    Truth,
    Value,
    Words,
    host_forms,
    right,
)
from mxlab.learn.truth import REPLY, STATUS

KNOWN = host_forms(
    (name, (f"{name}.example.test", f"10.0.0.{n}")) for n, name in enumerate(("mx1", "mx2", "dns"))
)
MX1 = HostNames((("mx1",),), KNOWN)
BOTH = HostNames((("mx1", "mx2"),), KNOWN)
ORDER = HostNames((("mx2",), ("mx1", "dns")), KNOWN)
NOBODY = HostNames((), KNOWN)
FIVE = Number(5)
TWENTY = Span(20, 10, 30)
TTL = Span(60, 59.5, 60.5, seconds=True)
BUSY = Code(frozenset({"451"}), REPLY)
TIMED_OUT = Code(frozenset({"4.4.1"}), STATUS)
ALICE = Addresses(frozenset({"alice@client.test"}))
IP = IpAddress(frozenset({"10.53.25.2", "fd00::2"}))
TYPE = Words(("A", "address"))
ROOT = Words((".", "dot"))
FLUSH = Words(("postqueue -f", "flush"))


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (TYPE, "A"), (TYPE, "a"), (TYPE, "an address"), (ROOT, "."), (ROOT, "a dot"),
        (MX1, "mx1"), (MX1, "  MX1. "), (MX1, '"mx1"'), (MX1, "`mx1`"), (MX1, "the host mx1"),
        (MX1, "mx1.example.test."), (MX1, "It is on mx1!"), (MX1, "10.0.0.0"), (MX1, "mx1, mx1"),
        (MX1, "ｍｘ１"), (MX1, "mx1\x00\x1b\n"),
        (BOTH, "mx1 mx2"), (BOTH, "mx2, mx1"), (BOTH, "mx2 and mx1"), (BOTH, "mx1\nmx2\n"),
        (BOTH, "both mx1; and mx2."),
        (ORDER, "mx2 mx1 dns"), (ORDER, "mx2, then dns and mx1"), (ORDER, "mx2 -> mx1 -> dns"),
        (ORDER, "first mx2 > mx1 > dns"), (NOBODY, "none"), (NOBODY, "No host."),
        (FIVE, "5"), (FIVE, " 5. "), (FIVE, "five"), (FIVE, "5 messages"),
        (FIVE, "There are Five!"),
        (FIVE, "٥"), (FIVE, "5.0"), (Number(1200), "1,200"), (Number(0), "none"),
        (Number(1), "one"),
        (TWENTY, "20 s"), (TWENTY, "20s"), (TWENTY, "20 seconds"), (TWENTY, "20 Sec."),
        (TWENTY, "20"), (TWENTY, "within 25 seconds"), (TWENTY, "0.4 minutes"),
        (Span(300, 299, 301), "5min"), (Span(300, 299, 301), "five minutes"),
        (Span(3600, 3599, 3601), "1 h"), (Span(3600, 3599, 3601), "an hour"),
        (Span(5400, 5399, 5401), "1h30m"), (Span(5400, 5399, 5401), "1 hour and 30 minutes"),
        (TTL, "60"), (TTL, "60s"), (TTL, "a minute"),
        (BUSY, "451"), (BUSY, "451 4.7.1 try later"), (BUSY, "'451'."), (BUSY, "reply 451"),
        (TIMED_OUT, "4.4.1"), (TIMED_OUT, "451 4.4.1 timed out"), (TIMED_OUT, "4.4.1."),
        (ALICE, "alice@client.test"), (ALICE, "<alice@CLIENT.test>."),
        (ALICE, "to alice@client.test"),
        (Addresses(frozenset()), "nobody"),
        (IP, "10.53.25.2"), (IP, "10.53.25.2."), (IP, "FD00:0::2"), (IP, "the address 10.53.25.2"),
        (FLUSH, "Flush"), (FLUSH, " the  flush. "), (FLUSH, "`postqueue -f`"),
        (Words(("<>", "nobody")), "<>"), (Words(("<>", "nobody")), "'<>'"), (Words((".",)), "."),
        (Value("30"), "30"), (Value("30"), "timeouts.connect = 30"), (Value("300"), "5m"),
        (Value("workshop"), "Workshop."), (Value("a@x.test,b@x.test"), "a@x.test, b@x.test"),
    ],
)  # fmt: skip
def test_the_right_answer_counts_however_it_is_written(truth: Truth, text: str) -> None:
    assert right(text, truth) is True


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (MX1, "mx2"), (MX1, "mx1 mx2"), (MX1, "none"), (BOTH, "mx1"), (ORDER, "mx1 mx2 dns"),
        (ORDER, "mx2"), (NOBODY, "mx1"), (FIVE, "6"), (FIVE, "-5"), (FIVE, "six"), (FIVE, "55"),
        (FIVE, "5.5"), (FIVE, "no messages"), (TWENTY, "20 minutes"), (TWENTY, "31 s"),
        (TTL, "3600"), (BUSY, "450"), (TIMED_OUT, "5.4.1"), (ALICE, "bob@client.test"),
        (ALICE, "alice@client.test bob@client.test"), (ALICE, "nobody"), (IP, "10.53.25.3"),
        (FLUSH, "queue"), (FLUSH, "flush the queue"), (Value("30"), "31"), (Value("30"), "30m"),
    ],
)  # fmt: skip
def test_another_answer_is_wrong(truth: Truth, text: str) -> None:
    assert right(text, truth) is False


@pytest.mark.parametrize("truth", [MX1, BOTH, ORDER, FIVE, TWENTY, TTL, BUSY, TIMED_OUT, ALICE, IP])
@pytest.mark.parametrize(
    "text",
    ["", " \n", ".", "''", "\x00\x07", "x" * 10_000, "9 " * 10_000, "weiß nicht", "知らない", "😀"],
)
def test_what_says_nothing_is_not_understood(truth: Truth, text: str) -> None:
    assert right(text, truth) is None


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        (MX1, "mx9"), (MX1, "mx1 or so I hope"), (MX1, "mx1, none"), (FIVE, "5 or 6"),
        (FIVE, "many"),
        (TWENTY, "40"), (TWENTY, "soon"), (BUSY, "4.7.1"), (BUSY, "451 or 450"), (TIMED_OUT, "451"),
        (ALICE, "alice"), (IP, "mx1"),
    ],
)  # fmt: skip
def test_what_is_no_answer_of_the_kind_is_not_understood(truth: Truth, text: str) -> None:
    assert right(text, truth) is None


@pytest.mark.parametrize(
    ("truth", "shown"),
    [
        (ORDER, "mx2, mx1 and dns"), (NOBODY, "none"), (FIVE, "5"), (TWENTY, "20s"),
        (Span(0.25, 0, 1), "250ms"), (BUSY, "451"), (ALICE, "alice@client.test"),
        (IP, "10.53.25.2 or fd00::2"), (FLUSH, "postqueue -f"), (Value("30"), "30"),
        (Addresses(frozenset()), "nobody"),
    ],
)  # fmt: skip
def test_what_is_shown_as_right_is_right(truth: Truth, shown: str) -> None:
    assert str(truth) == shown
    if " or " not in shown:
        assert right(shown, truth) is True
