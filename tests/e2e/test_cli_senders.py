"""Two clients on local processes, by hand and in a test: who sends, as whom, and who hears of it.

::

    client (client.test) ────────┐
    stranger (stranger.test) ────┴──> mx1 (only bob is there)
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Lab, tab
from tests.support.plugin_session import INI, outcomes, session

TOPOLOGY = """
mx: [{host: mx1, preference: 10}]
recipients: [bob@example.test]
clients: [{host: stranger, domain: stranger.test, schedule: postfix, concurrency: 2}]
"""
LETTER = b"Subject: a letter\nMessage-ID: <letter@stranger.test>\n\nIn \xe4 file.\n"


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("senders"))
    file = tmp_path_factory.mktemp("shape") / "lab.yaml"
    file.write_text(TOPOLOGY)
    made("up", "--topology", str(file))
    yield made
    made("down")


def test_status_has_both(lab: Lab) -> None:
    shown = lab("status")
    assert "stranger: running, 0 queued" in shown
    assert "client: running, 0 queued" in shown


def test_a_message_goes_through_the_one_that_is_named(lab: Lab) -> None:
    said = lab("send", "--to", "bob@example.test", "--via", "stranger", "--show-dialog", "--wait")
    assert "MAIL FROM:<alice@stranger.test>" in said
    assert "EHLO stranger.stranger.test" in said
    said = lab("send", "--to", "bob@example.test", "--show-dialog", "--wait")
    assert "MAIL FROM:<alice@client.test>" in said


def test_who_is_no_client_is_refused_with_the_nearest(lab: Lab) -> None:
    said = lab.run("send", "--to", "bob@example.test", "--via", "stranjer", code=2).stderr
    assert "no client is called 'stranjer'" in said
    assert "did you mean 'stranger'?" in said
    assert "no client is called 'mx1'" in (
        lab.run("send", "--to", "bob@example.test", "--via", "mx1", code=2).stderr
    )


def test_tab_completes_the_clients(lab: Lab) -> None:
    assert tab(lab, "send", "--via", "") == ["client", "stranger"]


def test_a_failure_is_told_at_the_senders_own_domain(lab: Lab) -> None:
    lab("send", "--to", "nobody@example.test", "--via", "stranger", "--wait", code=1)
    found = lab.json("mailbox", "alice@stranger.test")
    assert isinstance(found, list)
    assert [entry["subject"] for entry in found] == ["Undelivered Mail Returned to Sender"]


@pytest.mark.parametrize(
    ("words", "dialog"),
    [
        (("--from", "<>"), "MAIL FROM:<> "),
        (("--from", "news@client.test", "--notify", "never"), "NOTIFY=NEVER"),
    ],
)
def test_nobody_is_told_where_nobody_is_to_hear(
    lab: Lab, words: tuple[str, ...], dialog: str
) -> None:
    said = lab("send", "--to", "nobody@example.test", "--show-dialog", *words)
    assert dialog in said
    assert "bounce" not in lab("mailbox", "news@client.test")
    assert lab.json("mailbox", "news@client.test") == []


def test_a_report_brings_back_what_was_asked_for(lab: Lab) -> None:
    for who, ret in (("full@client.test", "full"), ("hdrs@client.test", "hdrs")):
        words = ("--from", who, "--ret", ret, "--body", "the-body", "--wait")
        lab("send", "--to", "nobody@example.test", *words, code=1)
        whole = lab("mailbox", who, "--show", "1")
        assert ("the-body" in whole) == (ret == "full")


def test_a_whole_message_arrives_as_it_is(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "letter.eml"
    file.write_bytes(LETTER)
    words = ("--via", "stranger", "--eml", str(file), "--header", "X-Lab: 1", "--show-dialog")
    said = lab("send", "--to", "bob@example.test", *words, "--wait")
    assert "<letter@stranger.test>" in said
    assert "BODY=8BITMIME" in said
    found = lab.json("mailbox", "bob@example.test")
    assert isinstance(found, list)
    assert [e["message"] for e in found if e["subject"] == "a letter"] == ["<letter@stranger.test>"]


def test_a_test_chooses_its_client(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "test_senders.py").write_text(
        """
import pytest

from mxlab import bounced, delivered
from mxlab.errors import UnknownName

STRANGER = {"host": "stranger", "domain": "stranger.test"}


@pytest.mark.mxlab(topology={"clients": [STRANGER]})
def test_a_stranger_is_refused_and_told(mxlab):
    with mxlab.fault("reply", "mx1", verb="RCPT", code=550, peer="stranger"):
        unwanted, welcome = mxlab.send(via="stranger"), mxlab.send()
        mxlab.eventually(bounced(unwanted))
        mxlab.eventually(delivered(welcome))
    assert unwanted.sender.endswith("@stranger.test")
    assert welcome.sender == mxlab.sender
    (report,) = mxlab.eventually(lambda: mxlab.mailbox(unwanted.sender))
    assert report["Subject"] == "Undelivered Mail Returned to Sender"
    assert mxlab.mailbox(welcome.sender) == []
    with pytest.raises(UnknownName, match="stranjer"):
        mxlab.send(via="stranjer")
"""
    )
    assert outcomes(session(tmp_path)) == {"passed": 1}
