"""The bytes of one SMTP session on their way to its reader: counted, cut off, or slowed down.

Guarantee: what is passed on is what came in, in order; while it is slowed down, no more waits here
than the bound, one read of the transport, and what the kernel then holds back.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from mxlab_services.faults.base import NodeFault
from mxlab_services.faults.injector import ActiveFault, NodeInjector, Occasion
from mxlab_services.faults.kinds import Bandwidth, Cut

_TICK = 0.05  # real seconds between two portions, at the least
_HELD = 64 * 1024  # bytes that may wait here before the transport is told to stop reading


class Inflow:
    """Hands data to `feed`, and the end of the stream to `end`; `reset` cuts the connection."""

    def __init__(
        self,
        injector: NodeInjector,
        feed: Callable[[bytes], None],
        end: Callable[[], bool | None],
        reset: Callable[[], None],
    ) -> None:
        self._injector = injector
        self._feed = feed
        self._end = end
        self._reset = reset
        self._transport: asyncio.ReadTransport | None = None
        self._occasion = Occasion("DATA")
        self._total = 0
        self._judged: dict[ActiveFault[NodeFault], bool] = {}
        self._held = bytearray()
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, transport: asyncio.BaseTransport, peer: str) -> None:
        """A connection, or TLS on it: what waits from before must not be heard any more."""
        self._stop()
        self._transport = cast("asyncio.ReadTransport", transport)
        self._occasion = Occasion("connection", peer)

    def lost(self) -> None:
        """The connection is gone."""
        self._stop()
        self._transport = None

    def data(self, data: bytes) -> None:
        """Take what came in."""
        self._total += len(data)
        if self._injector:
            for active in self._injector.of(Cut):
                beyond = self._total - active.fault.after
                if beyond > 0 and self._strikes(active):
                    self._pass(data[: max(0, len(data) - beyond)])
                    self._stop()
                    self._reset()
                    return
        self._pass(data)

    def eof(self) -> bool | None:
        """Take the end of the stream; it comes after all that waits."""
        if self._held:
            self._ended = True
            return True
        return self._end()

    def _pass(self, data: bytes) -> None:
        if not self._held and (not self._injector or self._rate() is None):
            if data:
                self._feed(data)
            return
        self._held += data
        if len(self._held) > _HELD and self._transport is not None:
            self._transport.pause_reading()
        self._schedule()

    def _rate(self) -> int | None:
        """Bytes per real second, None for no bound."""
        slow = [one.fault.rate for one in self._injector.of(Bandwidth) if self._strikes(one)]
        return min(slow, default=None)

    def _strikes(self, active: ActiveFault[NodeFault]) -> bool:
        """Once for a session."""
        if active not in self._judged:
            self._judged[active] = self._injector.strikes(active, self._occasion)
        return self._judged[active]

    def _schedule(self) -> None:
        if self._timer is None and self._held:
            rate = self._rate()
            count = len(self._held) if rate is None else max(1, int(rate * _TICK))
            wait = 0.0 if rate is None else min(count, len(self._held)) / rate
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(wait, self._portion, count)

    def _portion(self, count: int) -> None:
        self._timer = None
        if self._rate() is None:
            count = len(self._held)
        portion = bytes(self._held[:count])
        del self._held[:count]
        self._feed(portion)
        if self._held:
            self._schedule()
            return
        if self._transport is not None:
            self._transport.resume_reading()
        if self._ended:
            self._end()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._held.clear()
