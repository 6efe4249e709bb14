"""A node that may open no more files: told once, without a traceback, and over when there are."""

import asyncio
import contextlib
import resource
from asyncio.subprocess import Process
from pathlib import Path
from typing import Any, Literal

import pytest

from mxlab_services import events
from mxlab_services.config import AnyConfig
from mxlab_services.control.requests import Ping
from mxlab_services.control.rpc import encode_call
from tests.support.node_program import SECONDS, configured, running

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Listener = Literal["smtp", "dns", "control"]
SPARE = 5  # files that the node may still open
MANY = 20
QUERY = b"\0\x1d\0\x07\0\0\0\1\0\0\0\0\0\0\7example\4test\0\0\x0f\0\1"


def cramped(process: Process) -> int:
    """Let the process open few files more; its limit now."""
    limit = max(int(file.name) for file in Path(f"/proc/{process.pid}/fd").iterdir()) + 1 + SPARE
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (limit, limit))
    return limit


async def dial(config: AnyConfig, listener: Listener) -> Ends:
    if listener == "control":
        return await asyncio.open_unix_connection(config.control)
    return await asyncio.open_connection(config.address, 2525 if listener == "smtp" else 5353)


async def is_served(ends: Ends, listener: Listener) -> bool:
    """Whether the node speaks on that connection, in time."""
    reader, writer = ends
    if listener != "smtp":
        writer.write(QUERY if listener == "dns" else encode_call(1, Ping()))
    async with asyncio.timeout(SECONDS):
        return bool(await reader.read(10))


async def served_before(config: AnyConfig, listener: Listener) -> None:
    """One client is served and gone: what that takes of the node's code is loaded."""
    ends = await dial(config, listener)
    try:
        assert await is_served(ends, listener)
    finally:
        ends[1].close()


async def heard(process: Process) -> events.OutOfFiles:
    assert process.stdout is not None
    async with asyncio.timeout(SECONDS):
        while True:
            body = events.decode(await process.stdout.readline()).body
            if isinstance(body, events.OutOfFiles):
                return body


@pytest.mark.parametrize("listener", ["smtp", "dns", "control"])
async def test_a_listener_without_files_rests_and_recovers(
    tmp_path: Path, listener: Listener
) -> None:
    config = configured(tmp_path, "dns" if listener == "dns" else "mx1")
    async with running(config) as process, contextlib.AsyncExitStack() as stack:
        await served_before(config, listener)
        limit = cramped(process)
        ends = [await dial(config, listener) for _ in range(MANY)]
        for _, writer in ends:
            stack.callback(writer.close)
        told = await heard(process)
        assert told.limit == limit
        assert told.listener.startswith("tcp:" if listener != "control" else "/")
        assert await is_served(ends[0], listener)  # who is in is served
        for _, writer in ends:
            writer.close()
        last = await dial(config, listener)
        stack.callback(last[1].close)
        assert await is_served(last, listener)
        process.terminate()
        out, log = await communicated(process)
    assert b"Traceback" not in log
    assert log.count(b"\n") == log.count(b"accepts nothing for a moment") == 1
    assert not any(events.decode(line).kind == "node.out-of-files" for line in out.splitlines())


async def communicated(process: Process) -> tuple[bytes, bytes]:
    async with asyncio.timeout(SECONDS):
        return await process.communicate()


async def test_a_listener_that_is_closed_while_it_rests_stays_closed(tmp_path: Path) -> None:
    """asyncio would serve again, after a second, on a socket that is none any more."""
    config: Any = configured(tmp_path, "mx1")
    async with running(config) as process, contextlib.AsyncExitStack() as stack:
        await served_before(config, "smtp")
        cramped(process)
        for _ in range(MANY):
            _, writer = await dial(config, "smtp")
            stack.callback(writer.close)
        await heard(process)
        process.terminate()  # it says goodbye to those who are in
        _, log = await communicated(process)
    assert process.returncode == 0
    assert b"Traceback" not in log
