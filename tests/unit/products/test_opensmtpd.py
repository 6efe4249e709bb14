"""OpenSMTPD's queue as the agent tells it, over what its tool writes."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from mxlab_services.config import MxConfig, RetryConfig, TimeConfig
from mxlab_services.products import opensmtpd
from mxlab_services.products.opensmtpd import OpensmtpdServer

LINE = (
    "631541df3a365b06|inet4|mta||a@client.test|bob@example.test|bob@example.test|{}|{}|0|2|{}|later"
)
SOON, LATE = 30.0, 1600  # real seconds of the schedule named postfix, ten times faster; its own


def configured(data: Path, **more: Any) -> MxConfig:
    return MxConfig(
        node="mx2", address="10.83.0.4", hostname="mx2.example.test", dns="10.83.0.2", networks=[],
        software="opensmtpd", data=str(data), **more,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("schedule", "state", "expected"),
    [
        ("postfix", f"pending|{LATE}", SOON),  # the agent will tell it to hurry
        ("opensmtpd", f"pending|{LATE}", LATE),  # it is left alone
        ("postfix", "pending|7", 7.0),
        ("postfix", "inflight|2", None),
    ],
)
async def test_when_it_tries_again(
    schedule: str,
    state: str,
    expected: float | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = int(time.time())  # noqa: TID251 - of the host, as its queue has it
    config = configured(tmp_path, time=TimeConfig(10.0, float(now)), retry=RetryConfig(schedule))

    async def run_tool(command: tuple[str, ...], **_: object) -> tuple[int, bytes]:
        assert command[1:] == ("show", "queue")
        return 0, LINE.format(now, now + 9999, state).encode() + b"\n"

    monkeypatch.setattr(opensmtpd, "run_tool", run_tool)
    (held,) = await OpensmtpdServer(config).queue()
    if expected is None:
        assert held.next_attempt is None
    else:
        assert held.next_attempt == pytest.approx(now + expected, abs=2)


async def test_flushes_while_an_attempt_is_under_way_are_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each would look at the queue once a second, and take the node's few processes."""
    state, scheduled = "inflight|2", asyncio.Queue[str]()

    async def run_tool(command: tuple[str, ...], **_: object) -> tuple[int, bytes]:
        if command[1] == "schedule":
            scheduled.put_nowait(command[2])
        listed = LINE.format(1, 9999, state) if command[1:] == ("show", "queue") else ""
        return 0, listed.encode()

    monkeypatch.setattr(opensmtpd, "run_tool", run_tool)
    for name in ("_AT_ONCE", "_LOOK"):
        monkeypatch.setattr(opensmtpd, name, 0.0)
    server, before = OpensmtpdServer(configured(tmp_path)), len(asyncio.all_tasks())
    for _ in range(9):
        await server.flush()
    assert len(asyncio.all_tasks()) == before + 1
    state = "pending|1600"
    assert await asyncio.wait_for(scheduled.get(), 20) == LINE.partition("|")[0]
    assert scheduled.empty()
