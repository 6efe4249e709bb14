"""Assembles the nodes of the roles `mx` and `client`: one MTA, and the client's own requests."""

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from mxlab_services.address import domain_of
from mxlab_services.config import ClientConfig, MtaConfig
from mxlab_services.control.replies import Pong, RecordEntry
from mxlab_services.control.requests import (
    Forget,
    MailboxList,
    MailboxRead,
    Ping,
    QueueEdit,
    QueueFlush,
    QueueList,
    RecordRead,
    Submit,
)
from mxlab_services.control.rpc import Controls
from mxlab_services.directory import directory_of
from mxlab_services.events import NodeReady, SpoolDamaged
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.ip import joined
from mxlab_services.message import Queued
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.mail_queue import MailQueue
from mxlab_services.roles.mailbox import Reading
from mxlab_services.roles.mta_faults import DiskGuard, FaultyMailboxes, MtaFaults
from mxlab_services.roles.outward import Outward
from mxlab_services.roles.settings import Settings, resumed
from mxlab_services.runtime import Counting, Journal, Parts, ids_for, randomness
from mxlab_services.smtp.server.faults import EdgeFaults
from mxlab_services.smtp.server.listener import Edge
from mxlab_services.smtp.server.policy import local_domains
from mxlab_services.storage.ports import Mailboxes, Spool

if TYPE_CHECKING:
    from mxlab_services.smtp.server.submission import SubmissionDesk
    from mxlab_services.submit.by_smtp import SubmissionProgram

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
    """Start an MTA; returns how to shut it down. What was opened is closed again on failure."""
    async with contextlib.AsyncExitStack() as stack:
        overrides = parts.storage.overrides()
        live = LiveConfig(resumed(config, overrides))  # a wrong configuration touches nothing
        spool = await parts.storage.spool()
        stack.push_async_callback(spool.close)
        mailboxes = await parts.storage.mailboxes()
        if isinstance(mailboxes, _Closes):
            stack.push_async_callback(mailboxes.close)
        journal = await parts.storage.journal() if isinstance(config, ClientConfig) else None
        _tell_damage(spool, emit)
        mta = Mta(live, parts, emit, spool, mailboxes, journal)
        mta.answer(controls)
        Settings(config, live, overrides, emit).answer(controls)
        await mta.start(stack)
        mta.injector.answer(controls, mta.faults)
        doors = [(at, port) for port in config.ports.values() for at in config.binds]
        listening = [f"tcp:{joined(at, port)}" for at, port in doors]
        count, addresses = await spool.count(), list(config.addresses)
        emit(NodeReady(_role(config), listening, queued=count, addresses=addresses))
        return stack.pop_all().aclose


def _role(config: MtaConfig) -> Literal["mx", "client"]:
    return "client" if isinstance(config, ClientConfig) else "mx"


def _tell_damage(spool: Spool, emit: Counting) -> None:
    damage = getattr(spool, "damage", None)
    if damage is not None and isinstance(damage, _Damaged):
        emit(SpoolDamaged(damage.problem, damage.saved, list(damage.lost)))


class Mta:
    """The parts of one MTA, put together, here and nowhere else. A test that has no use for all of
    it starts the part that it needs."""

    def __init__(
        self,
        live: LiveConfig,
        parts: Parts,
        emit: Counting,
        spool: Spool,
        mailboxes: Mailboxes,
        journal: Journal | None,
    ) -> None:
        self._live = live
        self.config = config = live.config  # for what no change of a setting touches
        self._clock = clock = parts.clock
        self._local = local_domains(config)
        self._emit = emit
        self._spool = spool
        self._journal = journal
        self._ids = ids = ids_for(config, clock)
        self.injector = NodeInjector(emit, lambda fault: randomness(config, f"fault/{fault}"))
        self.mailboxes = FaultyMailboxes(mailboxes, self.injector)
        self._outward = outward = Outward(live, journal, clock, emit)
        self.queue = MailQueue(
            live, self._local, spool, self.mailboxes, outward.router, outward.relay, ids, clock,
            randomness(config, "queue"), emit, self._count_backscatter,
        )  # fmt: skip
        self._reading = Reading(self.mailboxes, directory_of(config))
        self._guarded = DiskGuard(self.queue.intake, self.injector)
        faults = EdgeFaults(self.injector)
        self.edge = Edge(
            live, self._guarded, emit, self._flush_site, faults, parts.storage.scratch,
            self._desk(),
        )  # fmt: skip
        self._program = self._made_program()
        self.faults = MtaFaults(self.edge, spool, clock, self.queue.settlement.try_again)
        emit.counts.setdefault("backscatter", 0)

    def _desk(self) -> "SubmissionDesk | None":
        """What takes submissions, where the configuration has users."""
        if (wanted := self.config.submission) is None:
            return None
        from mxlab_services.smtp.server.submission import SubmissionDesk

        rng = randomness(self.config, "auth")
        return SubmissionDesk(wanted, self.config.hostname, rng, self._clock, self._ids)

    def _made_program(self) -> "SubmissionProgram | None":
        """What hands in mail by SMTP, where there is a server for it."""
        if self._journal is None or self.config.submission is None:
            return None
        from mxlab_services.submit.by_smtp import SubmissionProgram

        return SubmissionProgram(self._live, self._journal, self._emit, self._clock, self._ids)

    def answer(self, controls: Controls) -> None:
        """Answer the requests to this MTA."""
        controls.add(Ping, self._pong)
        controls.add(QueueList, self.queue.operator.entries)
        controls.add(QueueEdit, self.queue.operator.edit)
        controls.add(QueueFlush, self.queue.operator.flush)
        controls.add(Forget, self._forget)
        controls.add(MailboxList, self._reading.entries)
        controls.add(MailboxRead, self._reading.whole)
        self._outward.answer(controls)
        if self._journal is not None:
            from mxlab_services.submit.submission import Submission

            made = Submission(self._live, self._guarded, self._clock, self._ids, self._program)
            controls.add(Submit, made)
            controls.add(RecordRead, self._record)

    async def start(self, stack: contextlib.AsyncExitStack) -> None:
        """Begin to listen and to deliver; `stack` ends it in the opposite order."""
        if self.config.tls is not None:
            self._outward.relay.load()  # an authority that is none ends the start
        stack.push_async_callback(self._outward.relay.close)
        stack.push_async_callback(self.queue.scheduler.close)
        await self.faults.clear_disk()
        await self.edge.start()
        stack.push_async_callback(self.edge.close)
        if self._program is not None:
            stack.push_async_callback(self._program.close)
        self.queue.start()
        stack.push_async_callback(self.queue.sweeper.close)

    async def _flush_site(self, domain: str) -> int:
        """Try all that waits for `domain` now, on new connections (ETRN, RFC 1985 §5)."""
        self._outward.relay.renew()
        return await self.queue.operator.flush(QueueFlush(site=domain))

    def _count_backscatter(self, about: Queued) -> None:
        """A notification to a sender who never was a client of ours (MAIL-RULES E2)."""
        if not self.config.submission_networks and domain_of(about.sender) not in self._local:
            self._emit.count("backscatter")

    async def _pong(self, _: Ping) -> Pong:
        return Pong(
            self.config.node, _role(self.config), self._clock.time(), await self._spool.count()
        )

    async def _forget(self, _: Forget) -> bool:
        self._outward.resolver.forget()
        self._outward.relay.renew()
        self.queue.scheduler.forget()
        return True

    async def _record(self, _: RecordRead) -> list[RecordEntry]:
        return self._journal.entries() if self._journal is not None else []
