"""What `mxlab up` and `status` say of a lab that takes submissions."""

from typing import Any

import pytest

from mxlab.cli.options import DEFAULT_LAB
from mxlab.cli.submission import asked_program, handing_in, submission_lines
from mxlab.errors import UnknownName, UsageError
from mxlab.model.submitting import Submitting
from mxlab.model.topology import Submitters, Topology


def lab(name: str, published: dict[str, str], users: list[str]) -> dict[str, Any]:
    client: dict[str, Any] = {"node": "client", "published": published}
    return {"lab": name, "nodes": [{"node": "mx1"}, client | ({"submits": users} if users else {})]}


def test_a_program_is_told_where_and_as_whom() -> None:
    places = {"smtp": "127.0.0.1:1", "submission": "127.0.0.1:2", "submissions": "127.0.0.1:3"}
    assert list(submission_lines(lab("two", places, ["alice", "eve"]))) == [
        "A program hands in mail at client with TLS, as one of: alice, eve",
        "  submission: host 127.0.0.1, port 2, STARTTLS",
        "  submissions: host 127.0.0.1, port 3, SSL/TLS",
        "  its certificate is by the lab's own authority: mxlab ca --lab two > ca.pem",
    ]


def test_ports_that_are_closed_are_told_with_the_way_to_open_them() -> None:
    lines = list(submission_lines(lab(DEFAULT_LAB, {}, ["alice"])))
    assert any("up --publish" in line for line in lines)
    assert lines[-1].endswith("mxlab ca > ca.pem")


def test_without_users_nothing_is_said() -> None:
    assert list(submission_lines(lab(DEFAULT_LAB, {}, []))) == []


def test_any_option_of_a_program_asks_for_one() -> None:
    assert asked_program(None, None, None, None, True, 1) is None
    assert asked_program(None, None, None, 587, True, 1) == Submitting()
    made = asked_program("alice", "x", "plain", 465, True, 3)
    assert made == Submitting("alice", "x", "PLAIN", 465, True, 3)
    assert asked_program(None, None, None, None, False, 1) == Submitting(tls=False)


@pytest.mark.parametrize(
    ("options", "words", "hint"),
    [
        ((None, None, None, 25, True, 1), "--port: 25 is not known here", "known: 587, 465"),
        (("a", None, "plian", None, True, 1), "--auth: 'PLIAN' is not known", "mean PLAIN"),
        (("a", None, None, None, True, 0), "--tries: expected a whole number >= 1", ""),
        ((None, "x", None, None, True, 1), "--auth-password and --auth are a user's", "auth-user"),
    ],
)
def test_an_option_that_is_wrong_is_named(options: Any, words: str, hint: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        asked_program(*options)
    assert hint in (raised.value.hint or "")


def test_the_password_is_that_of_the_topology_unless_given() -> None:
    topology = Topology(submission=Submitters({"alice": "secret"}))
    assert handing_in(topology, "client", Submitting("alice")).password == "secret"
    assert handing_in(topology, "client", Submitting("eve", "own")).password == "own"
    with pytest.raises(UnknownName, match="alic"):
        handing_in(topology, "client", Submitting("alic"))
    with pytest.raises(UsageError, match="no program can hand in mail at laptop"):
        handing_in(topology, "laptop", Submitting("alice"))
    with pytest.raises(UsageError, match="no program can hand in mail at client"):
        handing_in(Topology(), "client", Submitting("alice"))
