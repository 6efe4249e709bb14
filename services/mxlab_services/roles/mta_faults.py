"""Puts an MTA's faults in force and out again: the listener, the disk, certificates, greylists.

Guarantee: after `end` the part that a fault touched is as the faults that are still set want it,
and as the configuration says where none is left.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from mxlab_services.clock import Clock
from mxlab_services.errors import ControlError, SpoolError, SpoolFull
from mxlab_services.faults.base import same_address
from mxlab_services.faults.injector import INVALID, ActiveFault, NodeInjector, Occasion
from mxlab_services.faults.kinds import (
    AnyFault,
    DiskFull,
    Greylist,
    MailboxFull,
    ReadOnly,
    Refuse,
    TlsBroken,
    misplaced,
)
from mxlab_services.message import Envelope, Origin
from mxlab_services.queue.ports import Accept
from mxlab_services.smtp.server.faults import Greybook
from mxlab_services.smtp.server.listener import Edge, server_context
from mxlab_services.smtp.server.policy import local_domains
from mxlab_services.storage.ports import Mailboxes, Spool, Stored


@runtime_checkable
class _Restricts(Protocol):
    """A spool that can do as if its disk were full, or read-only."""

    async def restrict(self, *, full: bool = False, read_only: bool = False) -> None: ...


class MtaFaults:
    """The effects on the MTA with this edge and spool. The edge's injector is the node's.

    `when_mended` is called when the disk is as it was.
    """

    def __init__(
        self, edge: Edge, spool: Spool, clock: Clock, when_mended: Callable[[], None]
    ) -> None:
        self._when_mended = when_mended
        self._edge = edge
        self._injector = edge.faults.injector
        self._spool = spool
        self._clock = clock

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a fault that this MTA cannot have."""
        config = self._edge.config
        offers = {"tls": config.tls is not None, "submission": config.submission is not None}
        if wrong := misplaced(fault, config.node, local_domains(config), **offers):
            raise ControlError(wrong, INVALID)
        if isinstance(fault, DiskFull | ReadOnly) and not isinstance(self._spool, _Restricts):
            raise ControlError(f"the spool of {config.node} cannot do {fault.kind}")

    async def begin(self, active: ActiveFault[AnyFault]) -> None:
        """Put it in force. Raises ControlError for a certificate that is none, and SpoolError."""
        match active.fault:
            case Refuse():
                self._edge.refuse()
            case DiskFull() | ReadOnly():
                await self._restrict()
            case Greylist():
                self._edge.faults.greybooks[active.id] = Greybook(self._clock)
            case TlsBroken() if active.pem is not None:
                try:
                    context = server_context(*active.pem)
                except ssl.SSLError as error:
                    text = f"fault {active.id!r}: no usable certificate and key: {error}"
                    raise ControlError(text, INVALID) from error
                self._edge.faults.certificates[active.id] = context

    async def end(self, active: ActiveFault[AnyFault]) -> None:
        """Take it back. Raises ControlError where the port is taken meanwhile, and SpoolError."""
        match active.fault:
            case Refuse():
                await self._listen()
            case DiskFull() | ReadOnly():
                await self._restrict()
                self._when_mended()
            case Greylist():
                self._edge.faults.greybooks.pop(active.id, None)
            case TlsBroken():
                self._edge.faults.certificates.pop(active.id, None)

    async def _listen(self) -> None:
        if self._injector.of(Refuse):
            return
        try:
            await self._edge.start()
        except OSError as error:
            raise ControlError(f"cannot listen again: {error}") from error

    async def clear_disk(self) -> None:
        """A node begins its life without faults, also on a disk that had some."""
        await self._restrict()

    async def _restrict(self) -> None:
        if isinstance(self._spool, _Restricts):
            full, read_only = bool(self._injector.of(DiskFull)), bool(self._injector.of(ReadOnly))
            await self._spool.restrict(full=full, read_only=read_only)


class DiskGuard:
    """An Accept that refuses at once while the disk is full or read-only by a fault.

    A real database has some room in its pages even then; a fault is exact.
    """

    def __init__(self, accept: Accept, injector: NodeInjector) -> None:
        self._accept = accept
        self._injector = injector

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        _check_disk(self._injector, origin.peer)
        return await self._accept(envelope, content, origin)


class FaultyMailboxes:
    """Mailboxes that are full, or on a disk that is, where a fault says so."""

    def __init__(self, mailboxes: Mailboxes, injector: NodeInjector) -> None:
        self._mailboxes = mailboxes
        self._injector = injector

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """Store durably and return the name. Raises SpoolFull or SpoolError."""
        _check_disk(self._injector, "")
        for active in self._injector.of(MailboxFull):
            if same_address(active.fault.address, address) and self._injector.strikes(
                active, Occasion(address)
            ):
                raise SpoolFull(f"the mailbox of {address} is full")
        return await self._mailboxes.deliver(address, content, at)

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        return await self._mailboxes.read(address)

    async def one(self, address: str, name: str) -> Stored | None:
        """As `Mailboxes` has it."""
        return await self._mailboxes.one(address, name)


def _check_disk(injector: NodeInjector, peer: str) -> None:
    """Raise what a write meets on a disk under a fault."""
    occasion = Occasion("disk", peer)
    for broken in injector.of(ReadOnly):
        injector.strikes(broken, occasion)
        raise SpoolError("the disk is read-only")
    for full in injector.of(DiskFull):
        injector.strikes(full, occasion)
        raise SpoolFull("no space left on the disk")
