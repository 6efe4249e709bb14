"""What an attendee asks a lab of processes: what became of my mail, what a dead host has."""

import json
import os
import re
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.command import MXLAB, SECONDS, Lab


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    made = Lab(tmp_path_factory.mktemp("reading"))
    made("up")
    yield made
    made("down")


@pytest.fixture(autouse=True)
def whole(lab: Lab) -> Iterator[None]:
    """All as it was, after each test."""
    yield
    lab("start", "dns", "mx1", "mx2", "client")
    lab("heal", "--all")
    for node in ("mx1", "mx2", "client"):
        lab("queue", node, "--delete", "ALL")


def sent(said: str) -> str:
    """The Message-ID of the one message that was sent."""
    (name,) = re.findall(r"^(<\S+>) queued as", said, re.MULTILINE)
    return str(name)


class TestSend:
    def test_a_dns_server_that_is_down_is_told(self, lab: Lab) -> None:
        lab("kill", "dns")
        domain = f"a{os.getpid()}.test"  # in no cache
        said = lab("send", "--to", f"bob@{domain}", "--show-dialog")
        assert f"looks up {domain} MX: " in said
        assert re.search(r": deferred: 451 4\.4\.3 .*" + re.escape(domain), said)
        result = lab.run("send", "--to", f"bob@{domain}", "--wait", "--timeout", "3", code=4)
        assert f"to bob@{domain}: not delivered in time: 451 4.4.3" in result.stderr
        assert "client tries again at" in result.stderr

    @pytest.mark.parametrize("code", ["550", "554"])
    def test_a_bounce_is_told_with_its_reason_for_each_recipient(self, lab: Lab, code: str) -> None:
        lab("fault", "mx1", "reply", "verb=RCPT", f"code={code}", "first=1")
        words = ("send", "--to", "bob@example.test", "--to", "carol@example.test", "--wait")
        result = lab.run(*words, code=1)
        assert re.search(
            rf"> to bob@example.test: bounced: {code} .*said by mx1.example.test to client",
            result.stderr,
        )
        assert "carol" not in result.stderr
        lab("heal", "--all")
        lab("fault", "mx1", "reply", "verb=RCPT", f"code={code}", "first=1")
        (reason,) = json.loads(lab(*words, "--json", code=1))["reasons"]
        assert reason["recipient"] == "bob@example.test"
        assert reason["fate"] == "bounced"
        assert reason["reason"].startswith(code)

    def test_a_bounce_in_the_dialog_is_no_success(self, lab: Lab) -> None:
        lab("fault", "mx1", "reply", "verb=RCPT", "code=550")
        result = lab.run("send", "--to", "bob@example.test", "--show-dialog", code=1)
        assert "<- 550" in result.stdout
        assert "bob@example.test: failed by mx1.example.test: 550" in result.stdout

    def test_who_keeps_it_and_until_when_is_told(self, lab: Lab) -> None:
        lab("kill", "mx1")
        words = ("send", "--to", "bob@example.test", "--wait", "--timeout", "3")
        result = lab.run(*words, code=4)
        assert re.search(r"not delivered in time: .+; mx2 tries again at \d\d ", result.stderr)


class TestTrace:
    def test_after_a_bounce_the_last_is_what_was_sent(self, lab: Lab) -> None:
        lab("fault", "mx1", "reply", "verb=RCPT", "code=550")
        name = sent(lab("send", "--to", "eve@example.test", "--wait", code=1))
        result = lab.run("trace", "last")
        assert result.stdout.startswith(f"{name}\n")
        (notification,) = re.findall(r"notification (<\S+>)", result.stdout)
        assert f"its notification: mxlab trace {notification.strip('<>')}" in result.stderr
        assert f"is the notification to alice@client.test that {name} is failed" in lab(
            "trace", notification.strip("<>")
        )
        assert lab("trace", "--to", "eve@example.test") == result.stdout
        assert lab("trace", "eve") == result.stdout

    def test_by_subject_and_batch(self, lab: Lab) -> None:
        words = ("--subject", "Grüße an Fay", "--batch", "monday", "--wait")
        name = sent(lab("send", "--to", "fay@example.test", *words))
        for asked in (["--subject", "grüße"], ["grüße an"], ["monday"], ["fay@example.test"]):
            assert lab("trace", *asked).startswith(name)
        assert "Grüße an Fay" in lab("mailbox", "fay@example.test")

    def test_several_are_listed(self, lab: Lab) -> None:
        first, second = (sent(lab("send", "--to", "gus@example.test", "--wait")) for _ in range(2))
        result = lab.run("trace", "gus", code=2)
        assert f"{first}  alice@client.test to gus@example.test" in result.stderr
        assert f"{second}  alice@client.test to gus@example.test" in result.stderr
        assert lab("trace", "last", "--to", "gus").startswith(second)


class TestLogs:
    def test_a_nodes_life_in_lines(self, lab: Lab) -> None:
        name = sent(lab("send", "--to", "hal@example.test", "--wait"))
        lines = lab("logs").splitlines()
        assert any("mail of <alice@client.test> for hal@example.test" in line for line in lines)
        assert all(re.match(r"\d\d \w{3} \d\d:\d\d:\d\d (dns|mx1|mx2|client) ", x) for x in lines)
        assert lines == sorted(lines, key=lambda line: line[:15])
        assert any("delivered to the mailbox of hal@example.test" in line for line in lines)
        assert lab("logs", "mx1", "-n", "1").splitlines()[0].split()[3] == "mx1"
        assert name in lab("logs", "--events")
        lab("logs", "--stderr")

    def test_it_is_followed_live_and_through_a_restart(self, lab: Lab) -> None:
        with subprocess.Popen(
            [*MXLAB, "logs", "mx1", "-f", "-n", "1"],
            env=os.environ | lab.environment, stdout=subprocess.PIPE, text=True,
        ) as process:  # fmt: skip
            assert process.stdout is not None
            assert process.stdout.readline()  # it reads now
            for number in range(2):
                lab("send", "--to", f"ida{number}@example.test", "--wait")
                assert any(f"mailbox of ida{number}@" in line for line in process.stdout)
                lab("kill", "mx1")
                lab("start", "mx1")
                assert any("is ready as mx" in line for line in process.stdout)
            process.send_signal(2)
            process.wait(SECONDS)

    def test_after_much_mail_there_is_much_to_read(self, lab: Lab) -> None:
        lab("send", "--to", "jan@example.test", "--count", "300", "--wait")
        assert lab("logs", "mx1").count("mailbox of jan@example.test") == 300


class TestDown:
    @pytest.mark.parametrize("end", ["stop", "kill"])
    def test_queue_and_mailbox_and_log_can_be_read(self, lab: Lab, end: str) -> None:
        address = f"{end}@example.test"
        lab("send", "--to", address, "--wait", "--body", "what it had")
        lab("kill", "mx1")
        name = sent(lab("send", "--to", address, "--show-dialog"))
        lab(end, "mx2")
        for words in (["mx2"], []):
            queue = lab.run("queue", *words)
            assert address in queue.stdout
            assert "mx2 is stopped: this is its disk as it was left" in queue.stderr
        row = json.loads(lab("queue", "mx2", "--json"))
        assert (row["message"], row["node"]) == (name, "mx2")
        assert "example.test" in lab("qshape", "mx2")
        boxes = lab.run("mailbox", address)
        assert address in boxes.stdout
        assert "mx1 is stopped: this is its disk" in boxes.stderr
        assert "what it had" in lab("mailbox", address, "--show", "last")
        assert f"for {address}" in lab("logs", "mx2")

    def test_what_changes_a_queue_wants_a_node_that_runs(self, lab: Lab) -> None:
        lab("kill", "mx2")
        assert "mx2 is stopped" in lab.run("queue", "mx2", "--hold", "ALL", code=3).stderr
        assert "mx2 is stopped" in lab.run("flush", "mx2", code=3).stderr
