"""The README's tour by hand, on local processes: every command on a lab that is up.

::

    mxlab up ──> dns, mx1, mx2, client ── send, kill mx1, queue mx2, start, flush ──> mailbox
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from mxlab_services.control.replies import QueueEntry
from tests.support.command import MXLAB, SECONDS, Lab
from tests.support.programs import require_namespace


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is up, for tests that leave it as it was."""
    made = Lab(tmp_path_factory.mktemp("shared"))
    made("up")
    yield made
    made("down")


def test_the_tour(lab: Lab) -> None:
    shown = lab("up")
    assert "is up (process)" in shown
    assert "primary MX 10" in shown
    assert "10 mx1.example.test." in lab("dig", "example.test", "MX")
    dialog = lab("send", "--to", "bob@example.test", "--show-dialog")
    assert "-> RCPT TO:<bob@example.test>" in dialog
    assert "mx1.example.test" in dialog
    lab("send", "--to", "bob@example.test", "--wait")
    assert lab("mailbox").count("bob@example.test") == 2

    assert lab("kill", "mx1") == "mx1 is stopped\n"
    sent = lab("send", "--to", "bob@example.test", "--count", "3", "--show-dialog")
    keys = [line.split()[0] for line in sent.splitlines() if " queued as " in line and "<" in line]
    assert "mx2.example.test" in sent
    entries = [
        msgspec.json.decode(line, type=QueueEntry)
        for line in lab("queue", "mx2", "--json").splitlines()
    ]
    assert {entry.message for entry in entries} <= set(keys)
    assert len(entries) == 3
    table = lab("queue", "mx2")
    assert table.startswith("-Queue ID-")
    assert "in 3 Requests." in table
    assert "example.test" in lab("qshape", "mx2")

    assert lab("start", "mx1") == "mx1 is running\n"
    assert "trying" in lab("flush", "mx2")
    lab("send", "--to", "bob@example.test", "--wait")
    removed = lab("down")
    assert "removed process mx1" in removed
    assert "is left" in removed
    assert "Nothing was there" in lab("down")


def test_a_held_message_stays_until_released(lab: Lab) -> None:
    lab("up", "--mx", "1")
    lab("kill", "mx1")
    lab("send", "--to", "bob@example.test", "--show-dialog")
    (entry,) = map(msgspec.json.decode, lab("queue", "client", "--json").splitlines())
    name = entry["queue_id"]
    assert lab("queue", "client", "--hold", name) == "client: 1 message put on hold\n"
    assert f"{name}!" in lab("queue", "client")
    lab("start", "mx1")
    assert "on hold" in lab.run("flush", "client", "--id", name, code=2).stderr
    lab("queue", "client", "-H", "ALL")
    lab("flush", "client", "--site", "example.test")
    assert "no message" in lab.run("queue", "client", "-d", "NONE", code=2).stderr
    lab("send", "--to", "carol@example.test", "--wait")


def test_a_second_up_is_refused(shared: Lab) -> None:
    result = shared.run("up", code=3)
    assert "is up" in result.stderr
    assert f"mxlab down --lab {shared.name}" in result.stderr


def test_status_shows_each_node(shared: Lab) -> None:
    (shown,) = msgspec.convert(shared.json("status"), list[dict[str, object]])
    nodes = msgspec.convert(shown["nodes"], list[dict[str, object]])
    assert [node["node"] for node in nodes] == ["dns", "mx1", "mx2", "client"]
    assert {node["state"] for node in nodes} == {"running"}
    assert shown["backend"] == "process"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["kill", "mx3"], 2, "did you mean 'mx2'?"),
        (["queue", "dns"], 2, "dns is no MTA"),
        (["send", "--to", "bob"], 2, "'bob' is no mail address"),
        (["route", "bob"], 2, "'bob' is no mail address"),
        (["mailbox", "bob"], 2, "'bob' is no mail address"),
        (["mailbox", "--show", "99"], 2, "no message 99"),
        (["zone", "add", "elsewhere.com. IN A 10.0.0.1"], 2, "no zone of the lab"),
        (["zone", "add", "x.example.test. IN A not-an-address"], 2, "dns: "),
        (["zone", "list", "exampel.test"], 2, "did you mean"),
        (["logs", "clint"], 2, "did you mean 'client'?"),
        (["exec", "client", "--"], 2, "say what to run"),
        (["status", "--lab", "lib"], 3, "no lab called 'lib'"),
    ],
)
def test_bad_requests(shared: Lab, words: list[str], code: int, said: str) -> None:
    assert said in shared.run(*words, code=code).stderr


def test_route_gives_reasons(shared: Lab) -> None:
    told = shared("route", "bob@example.test")
    assert "RFC 5321" in told
    assert "-> 10 mx1.example.test" in told


def test_a_dns_server_that_is_down_is_no_success(shared: Lab) -> None:
    shared("kill", "dns")
    try:
        assert "no servers could be reached" in shared("dig", "example.test", "MX", code=3)
    finally:
        shared("start", "dns")


def test_zones_are_changed(shared: Lab) -> None:
    record = "extra.example.test. 60 IN A 127.0.0.9"
    assert record in shared("zone", "add", *record.split())
    assert "127.0.0.9" in shared("dig", "extra.example.test")
    assert record not in shared("zone", "remove", "extra.example.test.", "A")
    text = "$ORIGIN new.test.\n@ 60 IN SOA ns.new.test. h.new.test. 1 1 1 1 1\n@ 60 IN NS ns\n"
    assert "new.test" in shared.run("zone", "set", "new.test", "-", stdin=text).stdout


def test_a_message_is_shown_whole(shared: Lab) -> None:
    shared(
        "send", "--to", "dora@example.test", "--wait", "--header", "X-Lab: yes", "--body", "héllo"
    )
    whole = shared("mailbox", "dora@example.test", "--show", "last")
    assert "X-Lab: yes" in whole
    assert "Return-Path: <alice@client.test>" in whole


def test_what_is_not_delivered_in_time_is_inconclusive(shared: Lab) -> None:
    shared("pause", "mx1", "mx2")
    try:
        result = shared.run("send", "--to", "e@example.test", "--wait", "--timeout", "0.2", code=4)
        assert "not delivered in time" in result.stderr
        assert "mx1 is paused" in shared.run("queue", "mx1", code=3).stderr
        assert "mx1 is paused" in shared.run("queue").stderr
        assert "mx1 is paused" in shared.run("exec", "mx1", "true", code=3).stderr
    finally:
        shared("resume", "mx1", "mx2")


def test_logs_and_events(shared: Lab) -> None:
    assert '"kind":"node.ready"' in shared("logs", "mx1", "--events")
    shared("logs")


def test_status_shows_the_lab_as_a_picture(shared: Lab) -> None:
    assert "  |-- 20 --> mx2  running, 0 queued; keeps mail for mx1\n" in shared("status")
    assert "picture" not in str(shared.json("status"))


def test_exec_passes_the_exit_code_on(shared: Lab) -> None:
    require_namespace()
    shared("exec", "client", "--", "sh", "-c", "exit 7", code=7)


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    heavy = "docker", "yaml", "msgspec", "asyncio", "aiosmtpd", "dnslib", "rich"
    program = (
        "import sys\nfrom mxlab.cli import app\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_removes_what_it_made(lab: Lab, number: signal.Signals) -> None:
    with subprocess.Popen(
        [*MXLAB, "up"],
        env=os.environ | lab.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        folder = Path(lab.environment["MXLAB_STATE_DIR"]) / "mxlab" / lab.name
        _until_exists(folder)
        process.send_signal(number)
        _, said = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert "interrupted" in said
    assert "Traceback" not in said
    assert not folder.exists()


def test_a_killed_up_is_cleared_by_down(lab: Lab) -> None:
    with subprocess.Popen(
        [*MXLAB, "up"], env=os.environ | lab.environment, stderr=subprocess.DEVNULL
    ) as process:
        folder = Path(lab.environment["MXLAB_STATE_DIR"]) / "mxlab" / lab.name
        _until_exists(folder)
        process.kill()
    assert "removed folder" in lab("down")
    assert not folder.exists()
    assert "Nothing was there" in lab("down")
    lab("up")


def _until_exists(path: Path) -> None:
    """Wait for the kernel to tell that the path is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    watch = (
        "import ctypes, os, sys\n"
        "libc = ctypes.CDLL(None)\n"
        "fd = libc.inotify_init1(0)\n"
        "libc.inotify_add_watch(fd, os.fsencode(sys.argv[1]), 0x100)\n"
        "os.path.exists(sys.argv[2]) or os.read(fd, 4096)\n"
    )
    subprocess.run(
        [sys.executable, "-c", watch, str(path.parent), str(path)], timeout=SECONDS, check=True
    )


def test_trace_tells_a_messages_story(shared: Lab) -> None:
    sent = msgspec.convert(
        shared.json("send", "--to", "fay@example.test", "--wait"), dict[str, list[object]]
    )
    (message,) = msgspec.convert(sent["sent"], list[dict[str, object]])
    name, queue_id = str(message["message"]), str(message["queue_id"])
    story = shared("trace", name)
    assert "looks up example.test MX" in story
    assert "delivered to the mailbox of fay@example.test" in story
    assert shared("trace", name.strip("<>")) == story
    assert shared("trace", queue_id) == story
    assert shared("trace", "last") == story
    assert "C: RCPT TO:<fay@example.test>" in shared("trace", "last", "--dialog")
    kinds = [msgspec.json.decode(x)["kind"] for x in shared("trace", "last", "--json").splitlines()]
    assert kinds[0] == "message.accepted"
    assert kinds[-1] in ("queue.removed", "mailbox.delivered")
    assert "no message is called" in shared.run("trace", "nothing-like-it", code=2).stderr


def test_json_everywhere(shared: Lab) -> None:
    for words in (
        ("dig", "example.test", "MX"),
        ("route", "bob@example.test"),
        ("zone", "list"),
        ("mailbox",),
        ("qshape",),
        ("flush",),
        ("start", "mx1"),
    ):
        assert shared.json(*words) is not None
