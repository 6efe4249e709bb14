"""Postfix's folders, and what its tools say, without Postfix."""

import os
from pathlib import Path

import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.errors import ConfigError
from mxlab_services.products import postfix
from mxlab_services.products.base import ToolFailed
from mxlab_services.products.postfix import PostfixServer
from tests.support.product_lab import configured

DEFERRED = (
    b'{"queue_name": "deferred", "queue_id": "4jbpvK56gbz7jfD", "arrival_time": 1795820797, '
    b'"message_size": 480, "forced_expire": false, "sender": "alice@client.test", "recipients": '
    b'[{"address": "bob@example.test", "delay_reason": "connect to mx1: Connection timed out"}]}\n'
)
NOTICE = (
    b'{"queue_name": "maildrop", "queue_id": "4jbpvK58Ztz7jVY", "arrival_time": 1795820797, '
    b'"message_size": 4, "sender": "MAILER-DAEMON", "recipients": [{"address": "a@b.test"}]}\n'
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PostfixServer:
    """One of which everything belongs to whoever runs this."""
    monkeypatch.setattr("shutil.chown", lambda path, user, group: None)
    monkeypatch.setattr("os.chown", lambda path, user, group: None)
    return PostfixServer(configured(tmp_path, local_domains=["example.test"]))


def tools(monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, bytes]) -> list[list[str]]:
    """These answers, in order; the commands, without their folder and the configuration's."""
    asked: list[list[str]] = []
    left = list(answers)

    async def run(command: list[str], given: bytes = b"", **_more: object) -> tuple[int, bytes]:
        name, _, _, *rest = command
        asked.append([Path(name).name, *rest, *([given.decode()] if given else [])])
        return left.pop(0) if left else (0, b"")

    monkeypatch.setattr(postfix, "run_tool", run)
    return asked


def test_folders_are_made_and_keep_what_they_have(server: PostfixServer, tmp_path: Path) -> None:
    server.prepare()
    message = tmp_path / "postfix" / "queue" / "deferred" / "message"
    message.write_text("hello")
    server.prepare()
    assert message.read_text() == "hello"
    assert (tmp_path / "postfix" / "queue" / "maildrop").stat().st_mode & 0o777 == 0o730
    assert server.command()[1:] == ("-c", str(tmp_path / "postfix" / "etc"), "-s")


def test_postfix_need_not_wait_for_a_fresh_file(server: PostfixServer, tmp_path: Path) -> None:
    """It reads no file that is younger than two seconds."""
    server.prepare()
    files = list((tmp_path / "postfix" / "etc").iterdir())
    assert {"main.cf", "master.cf", "any.cf"} <= {file.name for file in files}
    assert all(file.stat().st_mtime < ScaledClock().time() - 30 for file in files)


async def test_the_queue_is_told_with_when_it_is_due(
    server: PostfixServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.prepare()
    place = tmp_path / "postfix" / "queue" / "deferred" / "B" / "4jbpvK56gbz7jfD"
    place.parent.mkdir()
    place.touch()
    os.utime(place, (1795820900, 1795820900))
    tools(monkeypatch, (0, NOTICE + DEFERRED))
    first, second = await server.queue()
    assert (first.state, first.next_attempt) == ("deferred", 1795820900.0)
    assert first.reasons == {"bob@example.test": "connect to mx1: Connection timed out"}
    assert (second.state, second.sender, second.next_attempt) == ("incoming", "", None)


async def test_what_moves_while_the_queue_is_listed_is_listed(
    server: PostfixServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tool reads `active` before `deferred`, and misses what goes from one to the other."""
    server.prepare()
    place = tmp_path / "postfix" / "queue" / "active" / "4jbpvK56gbz7jfD"
    place.touch(mode=0o700)
    (place.parent / "BEING_WRITTEN").touch(mode=0o600)
    asked = tools(monkeypatch, (0, NOTICE), (0, NOTICE + DEFERRED))
    assert [held.state for held in await server.queue()] == ["deferred", "incoming"]
    assert len(asked) == 2


async def test_content_has_ends_of_lines_as_in_smtp(
    server: PostfixServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.prepare()
    asked = tools(monkeypatch, (0, b"Subject: x\n\nhello\n"), (1, b""))
    queue = tmp_path / "postfix" / "queue"
    (queue / "deferred" / "B").mkdir()
    for place in (queue / "active", queue / "deferred" / "B"):
        (place / "4jbpvK56gbz7jfD").touch()
    assert await server.content("4jbpvK56gbz7jfD") == b"Subject: x\r\n\r\nhello\r\n"
    (queue / "active" / "4jbpvK56gbz7jfD").unlink()
    assert await server.content("4jbpvK56gbz7jfD") is None  # it left just now
    assert await server.content("4jbpvK58Ztz7jVY") is None
    assert len(asked) == 2


async def test_each_request_by_its_tool(
    server: PostfixServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = tools(monkeypatch)
    await server.flush()
    await server.flush(queue_id="ONE")
    await server.edit("hold", ["ONE", "TWO"])
    await server.edit("expire", ["ONE"])
    await server.forget()
    assert asked == [
        ["postqueue", "-f"], ["postqueue", "-i", "ONE"],
        ["postsuper", "-h", "-", "ONE\nTWO\n"],
        ["postsuper", "-f", "-", "ONE\n"], ["postqueue", "-i", "ONE"],
        ["postkick", "public", "qmgr", "D"],
    ]  # fmt: skip


async def test_a_site_is_flushed_by_its_name_or_message_by_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = PostfixServer(configured(tmp_path, relay_domains=["other.test"]))
    asked = tools(monkeypatch, (0, b""), (0, NOTICE + DEFERRED))
    await server.flush(site="Other.test")
    await server.flush(site="Example.test")
    assert asked == [
        ["postqueue", "-s", "other.test"], ["postqueue", "-j"],
        ["postqueue", "-i", "4jbpvK56gbz7jfD"],
    ]  # fmt: skip


async def test_a_reload_without_a_postfix_says_so(server: PostfixServer) -> None:
    server.prepare()
    with pytest.raises(ToolFailed, match=r"master\.pid"):
        await server.reload()


def test_a_machine_without_its_users_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(path: Path, user: str, group: str) -> None:
        raise LookupError(f"no such user: {user!r}")

    monkeypatch.setattr("shutil.chown", nobody)
    with pytest.raises(ConfigError, match="no such user"):
        PostfixServer(configured(tmp_path)).prepare()
