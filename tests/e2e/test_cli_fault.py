"""Faults by hand on a lab of local processes: set, seen, felt by mail, and undone."""

from collections.abc import Iterator

import pytest

from tests.support.command import Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is up; each test leaves it as it was."""
    made = Lab(tmp_path_factory.mktemp("faults"))
    made("up")
    yield made
    made("down")


def test_faults_are_listed_until_they_are_healed(lab: Lab) -> None:
    assert "mx1-refuse" in lab("fault", "mx1", "refuse")
    lab("fault", "mx1", "reply", "verb=RCPT", "--code", "451", "first=2", "--id", "busy")
    lab("fault", "dns", "dns-servfail", "example.test")
    lab("fault", "mx2", "kill")
    rows = lab.json("fault", "list")
    assert isinstance(rows, list)
    assert {(row["id"], row["host"], row["fault"]) for row in rows} == {
        ("mx1-refuse", "mx1", "refuse"),
        ("busy", "mx1", "reply"),
        ("dns-servfail", "dns", "dns-servfail"),
        ("mx2", "mx2", "stopped"),
    }
    assert "code=451" in lab("fault", "list")
    lab("heal", "busy")
    assert len(lab("heal", "--all").splitlines()) == 3
    assert lab("fault", "list") == "nothing is broken\n"


def test_a_node_is_healed_of_all_that_is_open_there(lab: Lab) -> None:
    lab("fault", "mx1", "disk-full")
    lab("fault", "mx1", "refuse")
    lab("fault", "mx2", "refuse")
    lab("pause", "mx1")
    assert len(lab("heal", "mx1").splitlines()) == 3
    assert lab("heal", "mx1") == "nothing was broken\n"
    rows = lab.json("fault", "list")
    assert isinstance(rows, list)
    assert [row["id"] for row in rows] == ["mx2-refuse"]
    lab("kill", "mx1")
    assert len(lab("heal", "mx1", "mx2-refuse").splitlines()) == 2
    assert lab("fault", "list") == "nothing is broken\n"


def test_mail_feels_it(lab: Lab) -> None:
    lab("fault", "mx1", "reply", "verb=RCPT", "code=550", "recipient=bob@example.test")
    lab("send", "--to", "bob@example.test", "--to", "carol@example.test", "--wait", code=1)
    rows = lab.json("fault", "list")
    assert isinstance(rows, list)
    assert [row["struck"] for row in rows] == [1]
    lab("heal", "mx1-reply")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("fault", "mx1", "refuze"), 2, "did you mean 'refuse'"),
        (("fault", "mx9", "refuse"), 2, "no node is called 'mx9'"),
        (("fault", "mx1"), 2, "say what breaks"),
        (("fault", "mx1", "reply", "code=451"), 2, "the key `verb` is missing"),
        (("fault", "mx1", "drop"), 3, "cannot drop"),
        (("fault", "mx1", "mailbox-full", "address=x@elsewhere.test"), 2, "no mailbox"),
        (("fault", "mx1", "refuse", "--id", "mx2"), 2, "is taken"),
        (("heal", "nothing"), 2, "no fault or node is called 'nothing'"),
        (("heal", "mx1-refuze"), 2, "known: client, dns, mx1, mx2"),
        (("heal", "mx3"), 2, "did you mean 'mx"),
        (("heal",), 2, "--all"),
    ],
)
def test_what_cannot_be_is_said(lab: Lab, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in lab.run(*words, code=code).stderr
    assert lab("fault", "list") == "nothing is broken\n"
