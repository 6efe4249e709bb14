"""Reading OpenSMTPD's queue: its files and its tool's listing, as OpenSMTPD 6.8.0p2 wrote them."""

import shutil
from pathlib import Path

import pytest

from mxlab_services.products.base import Held
from mxlab_services.products.opensmtpd_log import NoticeFound
from mxlab_services.products.opensmtpd_spool import Listed, OpensmtpdSpool, listed

LISTING = """\
631541df3a365b06|inet4|mta||x@client.test|bob@example.test|bob@example.test|1795823799|1795823859|0|1|pending|378|Network error on destination MXs
631541df00000002|inet4|mta||x@client.test|a|b@example.test|a|b@example.test|1795823799|1795823859|1795823799|0|inflight|2|
5bcc9e7c1055e23f|local|mta|suspend|@|x@client.test|x@client.test|1795823700|1795823859|0|2|pending|-5|450 4.0.0 later|so it says
7748e9cdce1638a3|inet4|bounce||x@client.test|nobody@nowhere.test|nobody@nowhere.test|1795824121|1796428921|0|0|pending|0|Domain does not exist
"""  # noqa: E501
ENVELOPE = "version: 3\ndispatcher: out\ntype: {}\nsmtpname: mx2.example.test\n"
ORIGINAL = (
    b"Received: from c.client.test (client.client.test [10.83.4.5])\n"
    b"\tby mx2.example.test (OpenSMTPD) with ESMTP id 7748e9cd\n"
    b"\tfor <nobody@nowhere.test>;\n\tSat, 28 Nov 2026 00:02:01 +0000 (UTC)\n"
    b"From: alice@client.test\n\n"
)
NOTICE = (
    b"Received: from mx2.example.test (mx2.example.test [local])\n"
    b"\tby mx2.example.test (OpenSMTPD) with ESMTP id 5bcc9e7c\n"
    b"\tfor <x@client.test>;\n\tSat, 28 Nov 2026 00:02:02 +0000 (UTC)\n"
    b"Subject: Delivery status notification: %s\n"
    b"From: Mailer Daemon <MAILER-DAEMON@mx2.example.test>\n\nThis is a MIME message.\n\n"
)


def put(spool: Path, queue_id: str, message: bytes, **envelopes: str) -> None:
    folder = spool / "queue" / queue_id[:2] / queue_id
    folder.mkdir(parents=True)
    (folder / "message").write_bytes(message)
    for name, kind in envelopes.items():
        (folder / f"{queue_id}{name.removeprefix('e')}").write_text(ENVELOPE.format(kind))


def test_a_listing() -> None:
    one, two, three, notice = listed(LISTING)
    assert one == Listed(
        envelope="631541df3a365b06", notice=False, flags=(), sender="x@client.test",
        recipient="bob@example.test", arrived=1795823799.0, tried=1, state="pending", due=378,
        reason="Network error on destination MXs",
    )  # fmt: skip
    assert (two.sender, two.recipient, two.state, two.due) == (
        "x@client.test", "a|b@example.test", "inflight", None,
    )  # fmt: skip
    assert (three.sender, three.flags, three.reason) == (
        "", ("suspend",), "450 4.0.0 later|so it says",
    )  # fmt: skip
    assert [entry.waits for entry in (one, two, three, notice)] == [True, False, False, True]
    assert notice.notice


def test_a_line_of_something_else_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not understood: 'smtpctl"):
        list(listed("smtpctl: it cannot\n"))


def test_messages_from_a_listing(tmp_path: Path) -> None:
    put(tmp_path, "631541df", b"x" * 99)
    held = OpensmtpdSpool(tmp_path).held(listed(LISTING), 1795823800.7)
    assert held == [
        Held(
            queue_id="5bcc9e7c", state="hold", sender="", size=0, arrived=1795823700.0,
            reasons={"x@client.test": "450 4.0.0 later|so it says"},
        ),
        Held(
            queue_id="631541df", state="active", sender="x@client.test", size=99,
            arrived=1795823799.0,
            reasons={
                "bob@example.test": "Network error on destination MXs", "a|b@example.test": "",
            },
        ),
    ]  # fmt: skip
    waiting = LISTING.splitlines()[0]
    (alone,) = OpensmtpdSpool(tmp_path).held(listed(waiting), 1795823800.7)
    assert (alone.state, alone.next_attempt) == ("deferred", 1795824178.0)
    fresh = waiting.replace("|1|pending|378", "|0|pending|0")
    (alone,) = OpensmtpdSpool(tmp_path).held(listed(fresh), 1795823800.7)
    assert (alone.state, alone.next_attempt) == ("incoming", None)


def test_envelopes_are_those_of_recipients(tmp_path: Path) -> None:
    put(tmp_path, "7748e9cd", ORIGINAL, e00000001="mta", e00000002="mda", ece1638a3="bounce")
    spool = OpensmtpdSpool(tmp_path)
    assert spool.envelopes("7748e9cd") == {"7748e9cd00000001", "7748e9cd00000002"}
    assert spool.envelopes("00000000") == set()


@pytest.mark.parametrize("action", ["failed", "delayed", "delivered", "relayed"])
def test_a_notification_says_about_what_it_is(tmp_path: Path, action: str) -> None:
    put(tmp_path, "5bcc9e7c", NOTICE % action.encode() + ORIGINAL, e1055e23f="mta")
    found = OpensmtpdSpool(tmp_path).notice("5bcc9e7c")
    assert found == NoticeFound("7748e9cd", action)  # type: ignore[arg-type]


def test_a_notification_that_has_left_is_known_by_what_it_said(tmp_path: Path) -> None:
    """It may have before the log of it is told."""
    whole = NOTICE % b"failed" + ORIGINAL
    put(tmp_path, "5bcc9e7c", whole, e1055e23f="mta")
    put(tmp_path, "7748e9cd", ORIGINAL)
    spool = OpensmtpdSpool(tmp_path)
    spool.notice("5bcc9e7c")
    shutil.rmtree(tmp_path / "queue")
    assert spool.content("5bcc9e7c") == whole.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    assert spool.content("7748e9cd") is None


def test_what_is_no_notification_says_nothing(tmp_path: Path) -> None:
    put(tmp_path, "7748e9cd", ORIGINAL)
    put(tmp_path, "5bcc9e7c", NOTICE % b"confused" + ORIGINAL)
    spool = OpensmtpdSpool(tmp_path)
    assert [spool.notice(one) for one in ("7748e9cd", "5bcc9e7c", "00000000")] == [None] * 3


def test_content_has_the_lines_of_smtp(tmp_path: Path) -> None:
    put(tmp_path, "7748e9cd", b"Subject: x\n\n.two\n")
    spool = OpensmtpdSpool(tmp_path)
    assert spool.content("7748e9cd") == b"Subject: x\r\n\r\n.two\r\n"
    assert spool.content("00000000") is None
