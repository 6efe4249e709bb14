"""`mxlab judge` and `mxlab reset`: a lab of local processes, judged, spoilt, and begun anew."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    made("up")
    yield made
    made("down")


def _found(lab: Lab, *checks: str, code: int = 0) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The verdict of each check, and the ledger."""
    report: Any = lab.json("judge", *checks, code=code)
    return {f["check"]: f["verdict"] for f in report["findings"]}, report["ledger"]


def test_a_lab_without_mail_proves_nothing(lab: Lab) -> None:
    verdicts, ledger = _found(lab, code=4)
    assert set(verdicts.values()) == {"unknown"}
    assert ledger == []


def test_mail_is_accounted_for_while_its_hosts_are_down(lab: Lab) -> None:
    lab("send", "--to", "bob@example.test", "--wait")
    lab("kill", "mx1")
    lab("send", "--to", "bob@example.test", "--count", "2", "--show-dialog")  # till mx2 has them
    verdicts, ledger = _found(lab)
    assert set(verdicts.values()) == {"pass"}
    assert sorted(unit["state"] for unit in ledger) == ["delivered", "queued", "queued"]
    lab("kill", "mx2")
    verdicts, ledger = _found(lab, "nothing-lost")
    assert verdicts == {"nothing-lost": "pass"}
    assert {unit["where"] for unit in ledger} == {"mx1", "mx2"}
    verdicts, _ = _found(lab, "all-delivered", code=1)
    assert verdicts == {"all-delivered": "fail"}


def test_what_was_taken_out_of_a_mailbox_is_lost_and_what_was_put_in_is_forged(
    lab: Lab, tmp_path: Path
) -> None:
    lab("send", "--to", "bob@example.test", "--count", "2", "--wait")
    first, second = sorted(tmp_path.rglob("*.mxlab"))
    second.write_bytes(first.read_bytes().replace(b"essage-ID: <", b"essage-ID: <x"))
    verdicts, ledger = _found(lab, code=1)
    assert verdicts["nothing-lost"] == verdicts["nothing-forged"] == "fail"
    assert sorted(unit["state"] for unit in ledger) == ["delivered", "lost"]
    assert "owed by" in lab("judge", code=1)


def test_an_unknown_check_is_answered_with_the_nearest(lab: Lab) -> None:
    assert "did you mean 'nothing-lost'?" in lab.run("judge", "nothing-lot", code=2).stderr


def test_a_reset_lab_is_as_it_came_up(lab: Lab) -> None:
    shown = lab("zone", "list"), lab("config", "mx2")
    lab("send", "--to", "bob@example.test", "--wait")
    lab("kill", "mx1")
    lab("zone", "add", "x.example.test. 60 IN A 10.0.0.1")
    lab("config", "mx2", "limits.message_size=5000")
    lab("fault", "mx2", "tarpit", "seconds=30")
    lab("pause", "client")
    lab("reset")
    assert (lab("zone", "list"), lab("config", "mx2")) == shown
    assert lab("fault", "list") == "nothing is broken\n"
    assert lab.json("mailbox") == []
    verdicts, ledger = _found(lab, code=4)
    assert set(verdicts.values()) == {"unknown"}
    assert ledger == []


def test_no_mail_of_before_reaches_a_lab_that_was_reset(lab: Lab) -> None:
    lab("fault", "mx1", "delay", "verb=DOT", "seconds=600")
    lab("send", "--to", "bob@example.test", "--count", "20")  # on its way, in many connections
    lab("reset")
    lab("send", "--to", "bob@example.test", "--subject", "after", "--wait")
    verdicts, ledger = _found(lab)
    assert set(verdicts.values()) == {"pass"}
    assert len(ledger) == 1


def test_a_lab_can_be_reset_again_and_again(lab: Lab) -> None:
    for _ in range(3):
        lab("send", "--to", "bob@example.test", "--wait")
        lab("reset")
    assert lab.json("mailbox") == []
    lab("kill", "mx2")
    lab("start", "mx2")  # the life after is an ordinary one
    lab("send", "--to", "bob@example.test", "--wait")
    assert len(_found(lab)[1]) == 1
