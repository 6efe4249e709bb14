"""NOTIFY, out (RFC 1996): a zone's secondaries are told that it has changed, until they answer.

One notification at a time goes to each secondary of a zone; a newer change takes its place. What
came of it is an event. Nothing depends on it: a secondary that hears nothing asks by itself.
"""

import asyncio
import random
from collections.abc import Mapping, Sequence

from mxlab_services.dns.names import Name, name_text
from mxlab_services.dns.query import DnsClient, Source, rcode_text
from mxlab_services.dns.wire import NOTIFY
from mxlab_services.dns.zone import Zone
from mxlab_services.dns.zones import Change, Zones
from mxlab_services.events import DnsNotified, Emit

TIMEOUTS = (1.0, 2.0, 4.0, 8.0)  # real seconds, one for each attempt


class Notifier:
    """Tells `secondaries` (addresses by zone, folded) of each change of `zones`; `start` of what
    there is now."""

    def __init__(
        self,
        zones: Zones,
        secondaries: Mapping[Name, Sequence[str]],
        port: int,
        rng: random.Random,
        source: Source,
        emit: Emit,
    ) -> None:
        self._zones = zones
        self._secondaries = secondaries
        self._port = port
        self._rng = rng
        self._source = source
        self._emit = emit
        self._running: dict[tuple[Name, str], asyncio.Task[None]] = {}
        zones.watch(self._changed)

    def start(self) -> None:
        """Tell of every zone as it is (RFC 1996 §4.1: a primary that starts does)."""
        for zone in self._zones.all():
            self._tell_all(zone)

    async def close(self) -> None:
        """Tell nobody any more."""
        running = list(self._running.values())
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _changed(self, change: Change) -> None:
        if self._zones.has(change.zone.origin):  # a copy that expired is nothing to tell of
            self._tell_all(change.zone)

    def _tell_all(self, zone: Zone) -> None:
        for address in self._secondaries.get(zone.origin, ()):
            key = zone.origin, address
            if (before := self._running.pop(key, None)) is not None:
                before.cancel()
            task = asyncio.create_task(self._tell(zone, address))
            self._running[key] = task
            task.add_done_callback(lambda task, key=key: self._done(key, task))  # type: ignore[misc]

    def _done(self, key: tuple[Name, str], task: asyncio.Task[None]) -> None:
        if self._running.get(key) is task:
            del self._running[key]

    async def _tell(self, zone: Zone, address: str) -> None:
        exchange = DnsClient(
            (address, self._port), self._rng, TIMEOUTS, source=self._source, opcode=NOTIFY
        )
        reply = await exchange.ask(zone.origin, "SOA")
        said = "no answer" if reply is None else rcode_text(reply.message)
        self._emit(DnsNotified(name_text(zone.origin), zone.serial, address, said))
