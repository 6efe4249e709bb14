"""A secondary's copy of a zone: taken from its primaries by AXFR, and kept by the SOA's times.

Asked for anew when the primary tells of a change (RFC 1996) and each `refresh`, after a failure
each `retry`; once no primary has answered for `expire`, the copy is served no longer (RFC 1034
§4.3.5).
All three are lab time. A copy is replaced whole, by a newer serial only (RFC 1982), and never by a
zone that nobody can mean: one without NS records, or with nothing left.
"""

import asyncio
import random
from collections.abc import Sequence

from mxlab_services.clock import Clock
from mxlab_services.dns.names import Name, fold, name_text
from mxlab_services.dns.query import DnsClient, DnsReply, Source, rcode_text
from mxlab_services.dns.serial import newer
from mxlab_services.dns.transfer import TransferError, fetch
from mxlab_services.dns.zone import Zone, make_zone
from mxlab_services.dns.zones import Zones
from mxlab_services.errors import ZoneError
from mxlab_services.events import DnsExpired, DnsTransfer, DnsTransferFailed, Emit

TIMEOUTS = (1.0, 2.0)  # real seconds, for the SOA
TRANSFER_SECONDS = 30.0  # real, for a whole zone
NO_COPY_RETRY = 0.25  # real seconds between attempts while there has never been a copy, at first;
NO_COPY_MOST = 16.0  # doubled each time, up to this
LEAST_WAIT = 1.0  # lab seconds: an SOA may say 0


class Secondary:
    """The copy of one zone. `origin` is folded; `primaries` are asked in order."""

    def __init__(
        self,
        origin: Name,
        primaries: Sequence[str],
        port: int,
        zones: Zones,
        clock: Clock,
        rng: random.Random,
        source: Source,
        emit: Emit,
    ) -> None:
        self.origin = origin
        self.primaries = tuple(primaries)
        self.loaded = asyncio.Event()  # there has been a copy
        self._port = port
        self._zones = zones
        self._clock = clock
        self._rng = rng
        self._source = source
        self._emit = emit
        self._zone: Zone | None = None
        self._good_until = 0.0  # lab time; of the copy
        self._told = asyncio.Event()
        self._why = "start"
        zones.lose(origin)

    def notified(self) -> None:
        """A primary says that the zone has changed."""
        self._why = "notify"
        self._told.set()

    def serve_no_longer_than_good(self) -> None:
        """Give the copy up if its time is over. A host that stood still for a while has no timer
        that would have said so."""
        if self._zones.has(self.origin) and self._good_until <= self._clock.time():
            self._expire()

    async def run(self) -> None:
        """Keep the copy, for ever."""
        pause = NO_COPY_RETRY
        while True:
            self._told.clear()
            why, self._why = self._why, "refresh"
            if await self._renewed(why):
                assert self._zone is not None
                refresh, _, expire = self._times(self._zone)
                self._good_until = self._clock.time() + expire
                await self._wait(refresh)
            elif self._zone is None:
                await self._real_wait(pause)
                pause = min(2 * pause, NO_COPY_MOST)
            else:
                self._why = "retry"
                await self._wait(self._times(self._zone)[1])

    @staticmethod
    def _times(zone: Zone) -> tuple[float, float, float]:
        """Refresh, retry, expire, in lab seconds."""
        refresh, retry, expire = zone.soa.data.times[1:4]
        return max(refresh, LEAST_WAIT), max(retry, LEAST_WAIT), max(expire, LEAST_WAIT)

    async def _wait(self, seconds: float) -> None:
        """So much lab time, or until a primary tells of a change; the copy may expire meanwhile."""
        end = self._clock.time() + seconds
        if self._zones.has(self.origin) and self._good_until < end:
            if await self._real_wait(self._clock.real(self._good_until - self._clock.time())):
                return
            if self._zones.has(self.origin):
                self._expire()
        await self._real_wait(self._clock.real(end - self._clock.time()))

    async def _real_wait(self, seconds: float) -> bool:
        """Whether a primary told of a change within so many real seconds."""
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._told.wait()
        except TimeoutError:
            return False
        return True

    def _expire(self) -> None:
        assert self._zone is not None
        self._zones.lose(self.origin)
        self._emit(DnsExpired(name_text(self.origin), self._zone.serial))

    async def _renewed(self, why: str) -> bool:
        """Whether a primary was heard: the copy is as new as its zone."""
        for primary in self.primaries:
            try:
                await self._renew(primary, why)
            except TransferError as error:
                reason = str(error)
                until = self._good_until if self._zone is not None else None
                self._emit(DnsTransferFailed(name_text(self.origin), primary, reason, until))
            else:
                self.loaded.set()
                return True
        return False

    async def _renew(self, primary: str, why: str) -> None:
        exchange = DnsClient(
            (primary, self._port), self._rng, TIMEOUTS, source=self._source, recursion=False
        )
        serial = _serial(await exchange.ask(self.origin, "SOA"), self.origin)
        if self._zone is not None and not newer(serial, self._zone.serial):
            if not self._zones.has(self.origin):  # it had expired
                self._zones.put(self._zone)
            return
        records = await fetch(
            exchange.server, self.origin, self._rng, self._source, TRANSFER_SECONDS
        )
        try:
            zone = make_zone(self.origin, records)
        except ZoneError as error:
            raise TransferError(str(error)) from error
        _check(zone, self._zone)
        self._zone = zone
        self._zones.put(zone)
        count = len(zone.records)
        self._emit(DnsTransfer(name_text(self.origin), primary, zone.serial, count, why))


def _serial(reply: DnsReply | None, origin: Name) -> int:
    """The zone's serial, as its primary answers it. Raises TransferError."""
    if reply is None:
        raise TransferError("no answer to the question for the SOA")
    message = reply.message
    if message.header.rcode:
        raise TransferError(f"asked for the SOA, the server says {rcode_text(message)}")
    for record in message.rr:
        if fold(record.rname.label) == origin and hasattr(record.rdata, "times"):
            if not message.header.aa:
                break
            return int(record.rdata.times[0])
    raise TransferError("asked for the SOA, the server does not answer for the zone")


def _check(zone: Zone, before: Zone | None) -> None:
    """Refuse what nobody can mean. Raises TransferError."""
    top = zone.nodes[zone.origin]
    if "NS" not in top:
        raise TransferError("refused: the zone has no NS record, so nobody would serve it")

    def own(one: Zone) -> int:
        return len(one.records) - 1 - len(one.nodes[one.origin].get("NS", ()))

    if before is not None and own(before) and not own(zone):
        raise TransferError(f"refused: nothing is left of {own(before)} records but SOA and NS")
