"""Faults planted in the MTA, one a function, to show that chaos and its checks find them.

Each replaces a piece of the services for the time of a test; production code knows none of this.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from dnslib import AAAA, A
from msgspec.structs import replace

from mxlab_services.dns.answers import Mx
from mxlab_services.dns.records import Record
from mxlab_services.dns.secondary import Secondary
from mxlab_services.dns.zone import Zone
from mxlab_services.dns.zones import Zones
from mxlab_services.message import Envelope, Origin, Pending, Queued
from mxlab_services.queue import dsn as bounce
from mxlab_services.queue.commit import Settlement
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.destination import Lane
from mxlab_services.queue.dsn import Fate, Reporter
from mxlab_services.queue.enqueue import Intake
from mxlab_services.queue.ports import Deferred, Delivered, Failed, Job, Result, Route
from mxlab_services.queue.retry import Schedule
from mxlab_services.relay.relay import SmtpRelay
from mxlab_services.relay.routing import MxRouter, _Hosts, _Notes
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.aiosmtplib_adapter import SMTPResponse
from mxlab_services.smtp.client.connection import ClientSession, reply_lines

Plant = Callable[[pytest.MonkeyPatch], None]
PLANTED: dict[str, Plant] = {}
POSTMASTER = "postmaster@example.test"
SENT = Delivered(Reply(250, "2.0.0", "ok"), "nowhere")


def planted(plant: Plant) -> Plant:
    """Register a fault under its function's name."""
    PLANTED[plant.__name__.replace("_", " ")] = plant
    return plant


@planted
def says_250_before_the_commit(patch: pytest.MonkeyPatch) -> None:
    running: set[asyncio.Task[None]] = set()

    async def accept(self: Intake, envelope: Envelope, content: bytes, origin: Origin) -> str:
        message, stored = self.prepare(envelope, content, origin)

        async def later() -> None:
            await self._spool.put(message, stored)
            self.accepted(message, origin)

        task = asyncio.create_task(later())
        running.add(task)
        task.add_done_callback(running.discard)
        return message.queue_id

    patch.setattr(Intake, "__call__", accept)


@planted
def relays_to_equal_preference(patch: pytest.MonkeyPatch) -> None:
    def passes_itself_by(self: MxRouter, notes: _Notes, mx: object, how: str, at: _Hosts) -> None:
        pass  # goes on with all the others, better or not

    patch.setattr(MxRouter, "_found_self", passes_itself_by)


@planted
def bounces_a_null_sender(patch: pytest.MonkeyPatch) -> None:
    original = bounce.notification

    def wanted(sender: str, fate: Fate) -> bool:
        return fate.action in ("failed", "delayed") and fate.recipient.address != POSTMASTER

    def notification(
        about: Queued,
        content: bytes,
        fates: Sequence[Fate],
        reporter: Reporter,
        *more: Any,
    ) -> tuple[Envelope, bytes]:
        told = about if about.sender else replace(about, sender=POSTMASTER)
        return original(told, content, fates, reporter, *more)

    patch.setattr(bounce, "wanted", wanted)
    patch.setattr(bounce, "notification", notification)


@planted
def drops_on_4yz(patch: pytest.MonkeyPatch) -> None:
    _change_results(
        patch,
        lambda result: (
            SENT if isinstance(result, Deferred) and result.reply.code // 100 == 4 else result
        ),
    )


@planted
def ignores_the_second_recipients_outcome(patch: pytest.MonkeyPatch) -> None:
    original = SmtpRelay.deliver

    async def deliver(self: SmtpRelay, route: Route, job: Job) -> Mapping[str, Result]:
        results = await original(self, route, job)
        first = results[job.envelope.recipients[0].address]
        return dict.fromkeys(results, first)

    patch.setattr(SmtpRelay, "deliver", deliver)


@planted
def stores_large_messages_twice(patch: pytest.MonkeyPatch) -> None:
    original = Attempts._store

    async def store(self: Attempts, message: Queued, pending: Pending, content: bytes) -> Result:
        if len(content) > 3000:
            await original(self, message, pending, content)
        return await original(self, message, pending, content)

    patch.setattr(Attempts, "_store", store)


@planted
def forgets_dead_destinations(patch: pytest.MonkeyPatch) -> None:
    original = Lane.died

    def died(self: Lane, now: float, reason: str, schedule: Schedule, rng: random.Random) -> bool:
        news = original(self, now, reason, schedule, rng)
        self.dead_since, self.dead_until = None, 0.0
        return news

    patch.setattr(Lane, "died", died)


@planted
def bounces_on_a_temporary_dns_failure(patch: pytest.MonkeyPatch) -> None:
    def defer(self: _Notes, enhanced: str, text: str) -> Route:
        return self.fail(550, "5.4.4", text)

    patch.setattr(_Notes, "defer", defer)


@planted
def delivers_to_a_wrong_mailbox(patch: pytest.MonkeyPatch) -> None:
    original = Attempts._store

    async def store(self: Attempts, message: Queued, pending: Pending, content: bytes) -> Result:
        first = replace(pending.recipient, address=message.pending[0].address)
        return await original(self, message, replace(pending, recipient=first), content)

    patch.setattr(Attempts, "_store", store)


@planted
def loses_a_header(patch: pytest.MonkeyPatch) -> None:
    original = Intake.prepare

    def prepare(
        self: Intake, envelope: Envelope, content: bytes, origin: Origin
    ) -> tuple[Queued, bytes]:
        if origin.peer:
            head, _, rest = content.partition(b"Subject: ")
            content = head + rest.partition(b"\r\n")[2] if rest else content
        return original(self, envelope, content, origin)

    patch.setattr(Intake, "prepare", prepare)


@planted
def falls_back_to_the_address_where_an_mx_exists(patch: pytest.MonkeyPatch) -> None:
    original = MxRouter._exchanges

    async def exchanges(
        self: MxRouter, notes: _Notes, records: Sequence[Mx], message: str | None
    ) -> Route:
        route = await original(self, notes, records, message)
        if isinstance(route.failure, Failed) and route.failure.reply.enhanced == "5.4.4":
            return await self._implicit(notes, notes.domain, message)
        return route

    patch.setattr(MxRouter, "_exchanges", exchanges)


@planted
def tells_nobody_of_a_failure(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Settlement, "_notices", lambda *_: [])


@planted
def tries_the_worst_exchange_first(patch: pytest.MonkeyPatch) -> None:
    original = SmtpRelay.deliver

    async def deliver(self: SmtpRelay, route: Route, job: Job) -> Mapping[str, Result]:
        return await original(self, replace(route, targets=route.targets[::-1]), job)

    patch.setattr(SmtpRelay, "deliver", deliver)


@planted
def retries_too_soon(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.wait

    def wait(self: Schedule, attempts: int, age: float, rng: random.Random) -> float:
        return original(self, attempts, age, rng) / 2

    patch.setattr(Schedule, "wait", wait)


@planted
def gives_up_when_no_host_answers(patch: pytest.MonkeyPatch) -> None:
    _change_results(
        patch,
        lambda result: (
            Failed(Reply(550, "5.4.1", result.reply.text))
            if isinstance(result, Deferred) and result.reply.code == 0
            else result
        ),
    )


@planted
def takes_a_lost_acknowledgement_for_a_delivery(patch: pytest.MonkeyPatch) -> None:
    _change_results(
        patch, lambda result: SENT if isinstance(result, Deferred) and result.unknown else result
    )


@planted
def takes_the_first_piece_of_a_reply_for_silence(patch: pytest.MonkeyPatch) -> None:
    async def response(self: ClientSession, within: float) -> SMTPResponse | None:
        if not self._unread and not self.trouble:
            loop = asyncio.get_running_loop()
            self._awaited = loop.create_future()
            timer = loop.call_later(within, self._break, f"no reply within {within:g} s")
            try:
                await self._awaited
            finally:
                timer.cancel()
                self._awaited = None
        if not self._unread:
            return None
        found = self._unread.popleft()
        self.dialog += reply_lines(found)
        return found

    patch.setattr(ClientSession, "response", response)


@planted
def never_falls_back_from_ipv6_to_ipv4(patch: pytest.MonkeyPatch) -> None:
    original = MxRouter._usable

    def usable(self: MxRouter, notes: _Notes, host: str, addresses: Sequence[str]) -> list[str]:
        found = original(self, notes, host, addresses)
        return [address for address in found if ":" in address] or found

    patch.setattr(MxRouter, "_usable", usable)


@planted
def tries_addresses_of_a_family_that_it_has_not(patch: pytest.MonkeyPatch) -> None:
    original = MxRouter._usable

    def usable(self: MxRouter, notes: _Notes, host: str, addresses: Sequence[str]) -> list[str]:
        self._versions = frozenset()
        return original(self, notes, host, addresses)

    patch.setattr(MxRouter, "_usable", usable)


@planted
def refers_to_an_address_where_nobody_is(patch: pytest.MonkeyPatch) -> None:
    original = Zones._additional

    def additional(
        self: Zones, found: tuple[Record, ...], referring: Zone | None = None
    ) -> tuple[Record, ...]:
        records = original(self, found, referring)
        if referring is None:
            return records
        nobody = {"A": A("10.53.25.250"), "AAAA": AAAA("fd5e:cafe::fa")}
        return tuple(replace(record, data=nobody[record.type]) for record in records)

    patch.setattr(Zones, "_additional", additional)


@planted
def serves_a_copy_that_has_expired(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Secondary, "_expire", lambda _: None)


def _change_results(patch: pytest.MonkeyPatch, change: Callable[[Result], Result]) -> None:
    original = SmtpRelay.deliver

    async def deliver(self: SmtpRelay, route: Route, job: Job) -> Mapping[str, Result]:
        results = await original(self, route, job)
        return {address: change(result) for address, result in results.items()}

    patch.setattr(SmtpRelay, "deliver", deliver)
