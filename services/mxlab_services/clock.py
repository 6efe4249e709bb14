"""Lab time. The only module of the services that reads the host's clock.

Lab time is real time, sped up by a scale: with scale 3600 an hour of lab time passes in a second.
It governs retry, lifetime, warnings and DNS TTLs. Socket timeouts stay in real seconds.
"""

import asyncio
import functools
import math
import time
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Protocol


class Clock(Protocol):
    """The lab's time. All seconds are lab seconds unless a name says `real`."""

    def time(self) -> float:
        """Lab time now, in seconds since the Unix epoch."""
        ...

    def real(self, seconds: float) -> float:
        """How many real (event loop) seconds `seconds` of lab time take."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Sleep for `seconds` of lab time."""
        ...


class ScaledClock:
    """Lab time on a real host: it equals the host's time at `epoch` and runs `scale` times as fast.

    Every node of a lab gets the same `epoch` and `scale`, so that clocks agree across nodes and
    restarts. A node reads the host's clock once and counts on the monotonic clock from there, so
    lab time never runs backwards within a node's life.
    """

    def __init__(self, scale: float = 1.0, epoch: float = 0.0) -> None:
        if scale <= 0:
            raise ValueError(f"time scale must be above 0, not {scale:g}")
        if scale != 1.0 and epoch <= 0:
            raise ValueError("a time scale other than 1 needs the epoch at which the lab began")
        self._scale = scale
        host_now = time.time()  # noqa: TID251 - the one reading of the host's clock
        self._start = host_now if scale == 1.0 else epoch + (host_now - epoch) * scale
        self._monotonic = time.monotonic()

    def time(self) -> float:
        return self._start + (time.monotonic() - self._monotonic) * self._scale

    def real(self, seconds: float) -> float:
        return seconds / self._scale

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.real(seconds)))


def rfc5322_date(at: float) -> str:
    """`at` (seconds since the Unix epoch) as RFC 5322 §3.3 writes a date, in UTC."""
    return _date(math.floor(at))


@functools.lru_cache(maxsize=256)  # each message has several dates of the same second
def _date(at: int) -> str:
    return format_datetime(datetime.fromtimestamp(at, UTC))
