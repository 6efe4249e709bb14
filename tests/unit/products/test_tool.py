"""A product's tools, run as an operator would."""

import signal

import pytest

from mxlab_services.products import tool
from mxlab_services.products.base import ToolFailed
from mxlab_services.products.tool import run_tool


async def test_what_a_tool_is_given_and_what_it_writes() -> None:
    assert await run_tool(["/bin/sh", "-c", "cat; exit 3"], b"hello", accept=(0, 3)) == (
        3,
        b"hello",
    )


async def test_a_tool_that_fails_is_told_with_its_words() -> None:
    with pytest.raises(ToolFailed, match="exit code 7: not today"):
        await run_tool(["/bin/sh", "-c", "echo not today >&2; exit 7"])


async def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(ToolFailed, match="/nowhere/postqueue: No such file"):
        await run_tool(["/nowhere/postqueue"])


async def test_a_tool_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tool, "SECONDS", 0.05)
    with pytest.raises(ToolFailed, match="did not end"):
        await run_tool(["/bin/sleep", "60"])


async def test_a_peer_that_hangs_up_does_not_kill_a_tool() -> None:
    """As with postkick, whose second write may find nobody."""
    ignored = "grep ^SigIgn: /proc/self/status"
    _, said = await run_tool(["/bin/sh", "-c", ignored])
    assert int(said.split()[1], 16) & 1 << (signal.SIGPIPE - 1)
