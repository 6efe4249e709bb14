"""Reading Exim's spool: files as Exim 4.96 wrote them."""

import subprocess
import sys
from pathlib import Path

import pytest

from mxlab_services.products import exim_spool

ONE = "1xX50y-00000V-03"
LOCK = """
import fcntl, sys
file = open(sys.argv[1], "r+b")
fcntl.lockf(file, fcntl.LOCK_EX)
print("locked", flush=True)
sys.stdin.read()
"""
BODY = b"one\n..two\n\xff\n"


def field(kind: bytes, text: bytes) -> bytes:
    return b"%03d%s %s" % (len(text), kind, text)


def put(
    spool: Path,
    *,
    options: str = "-received_time_usec .019846\n--helo_name client.client.test\n",
    tree: str = "XX\n",
    recipients: tuple[str, ...] = ("bob@example.test", "carol@example.test"),
) -> None:
    for folder in ("input", "msglog"):
        (spool / folder).mkdir(parents=True, exist_ok=True)
    envelope = f"{ONE}-H\nmxlab 2525 2525\n<alice@client.test>\n1795820760 0\n{options}{tree}"
    listed = "".join(f"{one}\n" for one in recipients)
    head = b"".join(
        (
            field(b"P", b"Received: from there\n\tby here;\n\tFri, 27 Nov 2026 23:06:00 +0000\n"),
            field(b"*", b"X-Was-Here: it is gone by now\n"),
            field(b" ", b"Subject: hello\n"),
        )
    )
    text = f"{envelope}{len(recipients)}\n{listed}\n".encode() + head
    (spool / "input" / f"{ONE}-H").write_bytes(text)
    (spool / "input" / f"{ONE}-D").write_bytes(f"{ONE}-D\n".encode() + BODY)


def test_a_message_as_it_will_be_sent_on(tmp_path: Path) -> None:
    put(tmp_path)
    assert exim_spool.content(tmp_path, ONE) == (
        b"Received: from there\r\n\tby here;\r\n\tFri, 27 Nov 2026 23:06:00 +0000\r\n"
        b"Subject: hello\r\n\r\none\r\n..two\r\n\xff\r\n"
    )


def test_the_queue_and_why_it_waits(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "msglog" / ONE).write_text(
        "2026-11-27 23:06:00.021 Received from alice@client.test H=(c) [10.83.0.5]:36339\n"
        "2026-11-27 23:06:03.276 bob@example.test R=mx T=smtp defer (113): No route to host DT=3s\n"
        "2026-11-27 23:06:08.276 bob@example.test R=mx T=smtp defer (111): Connection refused\n"
    )
    assert exim_spool.ids(tmp_path) == [ONE]
    held = exim_spool.held(tmp_path, ONE)
    assert held is not None
    assert (held.sender, held.state) == ("alice@client.test", "deferred")
    assert held.arrived == pytest.approx(1795820760.019846)
    assert held.reasons == {"bob@example.test": "Connection refused", "carol@example.test": ""}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("T=smtp defer (110): Connection timed out DT=1.000s", "Connection timed out"),
        (
            "T=smtp defer (-54) DT=0.000s: retry time not reached for any host for 'example.test'",
            "retry time not reached for any host for 'example.test'",
        ),
        (
            "T=smtp defer (-45) H=mx1.example.test [10.83.4.3]:25 DT=0.001s: SMTP error from "
            "remote mail server after MAIL FROM:<alice@client.test> SIZE=1548: 451 4.0.0 later",
            "SMTP error from remote mail server after MAIL FROM:<alice@client.test> SIZE=1548: "
            "451 4.0.0 later",
        ),
        ("defer (-1): host lookup did not complete", "host lookup did not complete"),
    ],
)  # fmt: skip
def test_the_reason_alone(tmp_path: Path, line: str, reason: str) -> None:
    put(tmp_path)
    (tmp_path / "msglog" / ONE).write_text(
        f"2026-11-28 03:10:33.731 bob@example.test R=mx {line}\n"
    )
    assert exim_spool.reasons(tmp_path, ONE) == {"bob@example.test": reason}


@pytest.mark.parametrize(
    ("options", "state"),
    [("-frozen 1795820761\n", "hold"), ("-deliver_firsttime\n", "incoming"), ("", "deferred")],
)
def test_its_state(tmp_path: Path, options: str, state: str) -> None:
    put(tmp_path, options=options)
    held = exim_spool.held(tmp_path, ONE)
    assert held is not None
    assert held.state == state


def test_who_has_it_already_is_left_out(tmp_path: Path) -> None:
    tree = "YN bob@example.test\nNN alan@example.test\n"
    put(tmp_path, tree=tree, recipients=("alan@example.test", "bob@example.test", "c@example.test"))
    assert exim_spool.read(tmp_path, ONE).pending == ("c@example.test",)
    (tmp_path / "input" / f"{ONE}-J").write_text("c@example.test\n")
    assert exim_spool.read(tmp_path, ONE).pending == ()


def test_a_recipient_with_wishes_of_dsn(tmp_path: Path) -> None:
    put(tmp_path, recipients=("bob@example.test  2,0 18,0 -1#3", '"a b"@example.test'))
    pending = exim_spool.read(tmp_path, ONE).pending
    assert pending == ("bob@example.test", '"a b"@example.test')


def test_a_message_that_has_gone(tmp_path: Path) -> None:
    assert exim_spool.ids(tmp_path) == []
    assert exim_spool.held(tmp_path, ONE) is None
    assert exim_spool.content(tmp_path, ONE) is None


def test_what_is_no_spool_file_says_so(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "input" / f"{ONE}-H").write_text("torn")
    with pytest.raises(ValueError, match="no envelope"):
        exim_spool.held(tmp_path, ONE)


def test_a_message_at_which_a_process_is_at_work(tmp_path: Path) -> None:
    put(tmp_path)
    child = subprocess.Popen(
        [sys.executable, "-c", LOCK, str(tmp_path / "input" / f"{ONE}-D")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"locked\n"
        held = exim_spool.held(tmp_path, ONE)
        child.communicate(b"")
    assert held is not None
    assert held.state == "active"


def test_a_message_that_goes_while_it_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path)
    reading = exim_spool.read

    def read_and_lose(spool: Path, queue_id: str) -> exim_spool.SpoolFile:
        found = reading(spool, queue_id)
        (spool / "input" / f"{queue_id}-D").unlink()
        return found

    monkeypatch.setattr(exim_spool, "read", read_and_lose)
    assert exim_spool.held(tmp_path, ONE) is None
