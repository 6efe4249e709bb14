"""Assembles the nodes of the roles `mx` and `client`: one MTA, and the client's own requests."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from mxlab_services.address import domain_of
from mxlab_services.clock import Clock
from mxlab_services.config import ClientConfig, MtaConfig
from mxlab_services.control.replies import DigReport, EtrnReport, Pong, RecordEntry, RouteReport
from mxlab_services.control.requests import (
    Dig,
    Etrn,
    Forget,
    MailboxList,
    MailboxRead,
    Ping,
    QueueEdit,
    QueueFlush,
    QueueList,
    Record,
    Route,
    Submit,
)
from mxlab_services.control.rpc import Controls
from mxlab_services.domain import DomainError, to_ascii
from mxlab_services.errors import ControlError
from mxlab_services.events import EtrnSent, NodeReady, SpoolDamaged
from mxlab_services.faults.injector import INVALID, Board
from mxlab_services.message import Queued
from mxlab_services.queue.commit import Settlement
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.enqueue import Intake
from mxlab_services.queue.expiry import Sweeper
from mxlab_services.queue.operator import Operator
from mxlab_services.queue.retry import schedule_of
from mxlab_services.queue.scheduler import Scheduler
from mxlab_services.relay import routing
from mxlab_services.reply import Reply
from mxlab_services.roles.late import LateRelay, LateResolver
from mxlab_services.roles.mailbox import Reading
from mxlab_services.roles.mta_faults import DiskGuard, FaultyMailboxes, MtaFaults
from mxlab_services.runtime import Counting, Journal, Parts, ids_for, randomness
from mxlab_services.smtp.server.faults import EdgeFaults
from mxlab_services.smtp.server.listener import Edge
from mxlab_services.smtp.server.policy import local_domains
from mxlab_services.storage.ports import Mailboxes, Spool

if TYPE_CHECKING:
    from mxlab_services.dns.resolver import StubResolver
    from mxlab_services.relay.relay import SmtpRelay

Shut = Callable[[], Awaitable[None]]


@runtime_checkable
class _Damaged(Protocol):
    """A spool that tells what was wrong when it was opened."""

    problem: str
    saved: int
    lost: tuple[str, ...]


@runtime_checkable
class _Closes(Protocol):
    async def close(self) -> None: ...


async def start_mta(config: MtaConfig, parts: Parts, controls: Controls, emit: Counting) -> Shut:
    """Start an MTA; answers how to shut it down. What was opened is closed again on failure."""
    async with contextlib.AsyncExitStack() as stack:
        schedule_of(config.retry)  # a wrong configuration touches nothing
        spool = await parts.storage.spool()
        stack.push_async_callback(spool.close)
        mailboxes = await parts.storage.mailboxes()
        if isinstance(mailboxes, _Closes):
            stack.push_async_callback(mailboxes.close)
        journal = await parts.storage.journal() if isinstance(config, ClientConfig) else None
        _tell_damage(spool, emit)
        mta = _Mta(config, parts, emit, spool, mailboxes, journal)
        mta.answer(controls)
        await mta.start(stack)
        mta.board.answer(controls, mta.faults)
        listening = [f"tcp:{config.bind}:{config.smtp_port}"]
        emit(NodeReady(_role(config), listening, queued=await spool.count()))
        return stack.pop_all().aclose


def _role(config: MtaConfig) -> Literal["mx", "client"]:
    return "client" if isinstance(config, ClientConfig) else "mx"


def _resolver(config: MtaConfig, clock: Clock, emit: Counting) -> "StubResolver":
    from mxlab_services.dns.resolver import StubResolver

    return StubResolver(
        (config.dns, config.dns_port), clock, randomness(config, "dns"), emit,
        networks=config.networks,
    )  # fmt: skip


def _relay(config: MtaConfig, journal: Journal | None, emit: Counting) -> "SmtpRelay":
    from mxlab_services.relay.relay import SmtpRelay

    return SmtpRelay(config, journal, emit)


def _tell_damage(spool: Spool, emit: Counting) -> None:
    damage = getattr(spool, "damage", None)
    if damage is not None and isinstance(damage, _Damaged):
        emit(SpoolDamaged(damage.problem, damage.saved, list(damage.lost)))


class _Mta:
    """The parts of one MTA, put together."""

    def __init__(
        self,
        config: MtaConfig,
        parts: Parts,
        emit: Counting,
        spool: Spool,
        mailboxes: Mailboxes,
        journal: Journal | None,
    ) -> None:
        self.config = config
        self._clock = clock = parts.clock
        self._local = local_domains(config)
        self._emit = emit
        self._spool = spool
        self._journal = journal
        self._ids = ids = ids_for(config, clock)
        self.board = Board(emit, lambda fault: randomness(config, f"fault/{fault}"))
        mailboxes = FaultyMailboxes(mailboxes, self.board)
        rng = randomness(config, "queue")
        schedule = schedule_of(config.retry)
        self._resolver = LateResolver(lambda: _resolver(config, clock, emit))
        self._router = routing.MxRouter.of(
            config, self._resolver, randomness(config, "routing"), emit
        )
        self._relay = LateRelay(lambda: _relay(config, journal, emit))
        self.intake = Intake(config.hostname, spool, ids, clock, emit)
        settlement = Settlement(
            config.hostname, spool, self.intake, ids, clock, emit, self._count_backscatter,
            config.limits.message_size,
        )  # fmt: skip
        attempts = Attempts(
            config.hostname, self._local, spool, mailboxes, self._router, self._relay,
            settlement, schedule, clock, rng, emit,
        )  # fmt: skip
        self._scheduler = Scheduler(
            spool, attempts, schedule, config.limits.destination_concurrency, clock, rng, emit
        )
        self._sweeper = Sweeper(spool, self._scheduler, attempts, settlement, schedule, clock, emit)
        self.operator = Operator(spool, self._scheduler, self._sweeper, clock, emit)
        self._reading = Reading(mailboxes)
        self._guarded = DiskGuard(self.intake, self.board)
        faults = EdgeFaults(self.board)
        self._edge = Edge(
            config, self._guarded, emit, self._flush_site, faults, parts.storage.scratch
        )
        self.faults = MtaFaults(self._edge, spool, clock, settlement.try_again)
        emit.counts.setdefault("backscatter", 0)

    def answer(self, controls: Controls) -> None:
        """Answer the requests to this MTA."""
        controls.add(Ping, self._pong)
        controls.add(QueueList, self.operator.entries)
        controls.add(QueueEdit, self.operator.edit)
        controls.add(QueueFlush, self.operator.flush)
        controls.add(Forget, self._forget)
        controls.add(MailboxList, self._reading.entries)
        controls.add(MailboxRead, self._reading.whole)
        controls.add(Route, self._route)
        controls.add(Dig, self._dig)
        controls.add(Etrn, self._etrn)
        if self._journal is not None:
            from mxlab_services.submit.submission import Submission

            controls.add(
                Submit,
                Submission(
                    self.config.hostname, self._guarded, self.config.limits, self._clock, self._ids
                ),
            )
            controls.add(Record, self._record)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Begin to listen and to deliver; `stack` ends it in the opposite order."""
        if self.config.tls is not None:
            self._relay.load()  # an authority that is none ends the start
        stack.push_async_callback(self._relay.close)
        stack.push_async_callback(self._scheduler.close)
        await self.faults.clear_disk()
        await self._edge.start()
        stack.push_async_callback(self._edge.close)
        self.intake.when_accepted(self._accepted)
        self._scheduler.when_free(self._sweeper.wake)
        self._scheduler.start()
        self._sweeper.start()
        stack.push_async_callback(self._sweeper.close)

    async def _flush_site(self, domain: str) -> int:
        """Try all that waits for `domain` now, on new connections (ETRN, RFC 1985 §5)."""
        self._relay.renew()
        return await self.operator.flush(QueueFlush(site=domain))

    def _accepted(self, message: Queued) -> None:
        self._scheduler.wake(message)
        self._sweeper.accepted(message)

    def _count_backscatter(self, about: Queued) -> None:
        """A notification to a sender who never was a client of ours (MAIL-RULES E2)."""
        if not self.config.submission_networks and domain_of(about.sender) not in self._local:
            self._emit.count("backscatter")

    async def _pong(self, _: Ping) -> Pong:
        return Pong(
            self.config.node, _role(self.config), self._clock.time(), await self._spool.count()
        )

    async def _forget(self, _: Forget) -> bool:
        self._resolver.forget()
        self._relay.renew()
        self._scheduler.forget()
        return True

    async def _route(self, request: Route) -> RouteReport:
        return await routing.report(self._router, request.address, self._local.__contains__)

    async def _dig(self, request: Dig) -> DigReport:
        return await self._resolver.dig(request.name, request.type, request.tcp)

    async def _etrn(self, request: Etrn) -> EtrnReport:
        found = await self._resolver.addresses(request.host)
        reply = Reply(0, "", f"no address of {request.host}: {found.status}")
        try:
            domain = to_ascii(request.domain)
        except DomainError as error:
            raise ControlError(str(error), INVALID) from error
        dialog: list[str] = []
        for address in found.addresses:
            reply = await self._relay.etrn(request.host, address, domain, dialog)
            if reply.code:
                break
        self._emit(EtrnSent(request.host, domain, str(reply), list(dialog)))
        return EtrnReport(reply.code, str(reply), dialog)

    async def _record(self, _: Record) -> list[RecordEntry]:
        return self._journal.entries() if self._journal is not None else []
