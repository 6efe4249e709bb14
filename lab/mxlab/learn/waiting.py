"""Waits for a lab: until nothing is on its way in it, until something holds. Woken by events."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from mxlab.learn.situation import Situation
from mxlab.runner.watch import Watch, watching

PATIENCE = 5.0  # real seconds: some labs never come to rest


async def at_rest(situation: Situation, patience: float = PATIENCE) -> None:
    """Wait until nothing is on its way, for so many real seconds at most. The situation is of that
    moment then."""
    await situation.refresh()
    loop, clock = asyncio.get_running_loop(), situation.lab.clock
    deadline = loop.time() + patience
    async with contextlib.AsyncExitStack() as stack:
        watch: Watch | None = None
        version = 0
        while (left := deadline - loop.time()) > 0:
            ended = await situation.resting_at()
            if ended <= clock.time():
                return
            if ended < float("inf"):
                await asyncio.sleep(min(left, clock.real(ended - clock.time())))
            else:
                if watch is None:
                    watch = await stack.enter_async_context(watching(situation.lab))
                await _changed(watch, version, left)
            version = watch.version if watch else 0
            await situation.refresh()


async def in_time(
    situation: Situation, holds: Callable[[], Awaitable[bool]], seconds: float
) -> bool:
    """Whether it comes to hold, in a situation at rest, within so many real seconds."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds
    await at_rest(situation)
    if await holds():
        return True
    async with watching(situation.lab) as watch:
        version = 0
        while (left := deadline - loop.time()) > 0:
            await _changed(watch, version, left)
            version = watch.version
            await at_rest(situation)
            if await holds():
                return True
    return False


async def _changed(watch: Watch, version: int, seconds: float) -> None:
    """Wait for an event after that version, for so many real seconds at most."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watch.changed_since(version)
