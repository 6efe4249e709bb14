"""Which message is meant: by its names, by an address, its subject or its batch."""

import pytest

from mxlab.errors import UnknownName, UsageError
from mxlab.history.lookup import find
from mxlab.history.trace import Trace
from mxlab_services import events
from tests.support.history import ALICE, BOB, History

CAROL = "carol@example.test"


def sent(history: History, name: str, to: str, subject: str = "", batch: str = "") -> None:
    accepted = events.Accepted(
        f"Q{name.upper()}", ALICE, [to], 9, "d", "", subject=subject, batch=batch
    )
    history.event("client", accepted, f"<{name}@client.test>")


@pytest.fixture
def trace() -> Trace:
    """Three messages; the one before the last bounced after the last was sent."""
    history = History()
    sent(history, "one", BOB, "Hello =?utf-8?b?Z3LDvMOf?=", "early")
    sent(history, "two", CAROL, "An invoice", "late")
    sent(history, "three", BOB, "A second hello", "late")
    bounce = events.Bounced("QN", "<two@client.test>", "QTWO", ALICE, [CAROL], "failed")
    accepted = events.Accepted("QN", "", [ALICE], 9, "d", "")
    history.event("client", bounce, "<notified@client.test>")
    history.event("client", accepted, "<notified@client.test>")
    return history.trace()


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("last", "three"),
        (None, "three"),
        ("<two@client.test>", "two"),
        ("two@client.test", "two"),
        ("QTWO", "two"),
        ("qtwo", "two"),
        ("early", "one"),
        ("carol", "two"),
        ("Carol@EXAMPLE.test", "two"),
        ("invoice", "two"),
        ("grüß", "one"),
        ("second hello", "three"),
        ("notified", "notified"),
        ("tw", "two"),
    ],
)
def test_a_message_is_found(trace: Trace, wanted: str | None, name: str) -> None:
    assert find(trace, wanted) == f"<{name}@client.test>"


@pytest.mark.parametrize(
    ("wanted", "filters", "name"),
    [
        (None, {"to": CAROL}, "two"),
        (None, {"to": "carol"}, "two"),
        ("last", {"to": BOB}, "three"),
        (None, {"to": BOB, "subject": "grüß"}, "one"),
        ("late", {"to": "bob"}, "three"),
        ("last", {"sender": ALICE}, "three"),
        (None, {"to": ALICE}, "notified"),
        ("last", {"to": ALICE}, "notified"),
    ],
)
def test_filters_leave_one(
    trace: Trace, wanted: str | None, filters: dict[str, str], name: str
) -> None:
    assert find(trace, wanted, **filters) == f"<{name}@client.test>"


@pytest.mark.parametrize(
    ("wanted", "filters", "choices"),
    [
        ("bob", {}, ["one", "three"]),
        (BOB, {}, ["one", "three"]),
        ("late", {}, ["two", "three"]),
        ("hello", {}, ["one", "three"]),
        (None, {"to": BOB}, ["one", "three"]),
        ("alice", {}, ["one", "two", "three", "notified"]),
        ("client.test", {}, ["one", "two", "three", "notified"]),
    ],
)
def test_where_several_are_meant_they_are_listed(
    trace: Trace, wanted: str | None, filters: dict[str, str], choices: list[str]
) -> None:
    with pytest.raises(UsageError) as problem:
        find(trace, wanted, **filters)
    assert f"{len(choices)} messages" in str(problem.value)
    for name in ("one", "two", "three"):
        assert (f"<{name}@client.test>  {ALICE} to" in problem.value.hint) == (name in choices)
    if "notified" in choices:
        assert "notification about <two@client.test>" in problem.value.hint


def test_of_very_many_the_latest_are_listed() -> None:
    history = History()
    for number in range(50):
        sent(history, f"m{number}", BOB)
    with pytest.raises(UsageError) as problem:
        find(history.trace(), "bob")
    assert "40 before these" in problem.value.hint
    assert "<m49@client.test>" in problem.value.hint
    assert "<m39@client.test>" not in problem.value.hint


@pytest.mark.parametrize("wanted", ["nobody", "nothing@like.it", "QX"])
def test_what_is_not_there_is_told(trace: Trace, wanted: str) -> None:
    with pytest.raises(UnknownName, match="no message"):
        find(trace, wanted)
    with pytest.raises(UnknownName):
        find(Trace(), "last")
