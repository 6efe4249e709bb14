"""Puts an MTA's faults in force and out again: the listener, the disk, certificates, greylists.

Guarantee: after `end` the part that a fault touched is as the faults that are still set want it,
and as the configuration says where none is left.
"""

import ssl
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from mxlab_services.address import domain_of
from mxlab_services.clock import Clock
from mxlab_services.errors import ControlError, SpoolError, SpoolFull
from mxlab_services.faults.injector import INVALID, Board, Occasion, Standing
from mxlab_services.faults.kinds import (
    AnyFault,
    DiskFull,
    Greylist,
    MailboxFull,
    MtaFault,
    ReadOnly,
    Refuse,
    TlsBroken,
    same_address,
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
    """The faults of the MTA with this edge and spool; a Site. The edge's board is the node's.

    `when_mended` is called when the disk is as it was.
    """

    def __init__(
        self, edge: Edge, spool: Spool, clock: Clock, when_mended: Callable[[], None]
    ) -> None:
        self._when_mended = when_mended
        self._edge = edge
        self._board = edge.faults.board
        self._spool = spool
        self._clock = clock

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a fault that this MTA cannot have."""
        config = self._edge.config
        match fault:
            case MailboxFull(address):
                if domain_of(address) not in local_domains(config):
                    raise ControlError(f"{address!r} has no mailbox on {config.node}", INVALID)
            case TlsBroken():
                if config.tls is None:
                    raise ControlError(f"{config.node} offers no STARTTLS to break", INVALID)
            case DiskFull() | ReadOnly():
                if not isinstance(self._spool, _Restricts):
                    raise ControlError(f"the spool of {config.node} cannot do {fault.kind}")
            case _ if not isinstance(fault, MtaFault):
                raise ControlError(f"an MTA has no {fault.kind} fault: set it at dns", INVALID)

    async def begin(self, standing: Standing[AnyFault]) -> None:
        """Put it in force. Raises ControlError for a certificate that is none, and SpoolError."""
        match standing.fault:
            case Refuse():
                self._edge.refuse()
            case DiskFull() | ReadOnly():
                await self._restrict()
            case Greylist():
                self._edge.faults.greybooks[standing.id] = Greybook(self._clock)
            case TlsBroken(how, certificate, key) if how != "handshake-cut":
                try:
                    context = server_context(certificate, key)
                except ssl.SSLError as error:
                    text = f"fault {standing.id!r}: no usable certificate and key: {error}"
                    raise ControlError(text, INVALID) from error
                self._edge.faults.certificates[standing.id] = context

    async def end(self, standing: Standing[AnyFault]) -> None:
        """Take it back. Raises ControlError where the port is taken meanwhile, and SpoolError."""
        match standing.fault:
            case Refuse():
                await self._listen()
            case DiskFull() | ReadOnly():
                await self._restrict()
                self._when_mended()
            case Greylist():
                self._edge.faults.greybooks.pop(standing.id, None)
            case TlsBroken():
                self._edge.faults.certificates.pop(standing.id, None)

    async def _listen(self) -> None:
        if self._board.of(Refuse):
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
            full, read_only = bool(self._board.of(DiskFull)), bool(self._board.of(ReadOnly))
            await self._spool.restrict(full=full, read_only=read_only)


class DiskGuard:
    """An Accept that refuses at once while the disk is full or read-only by a fault.

    A real database has some room in its pages even then; a fault is exact.
    """

    def __init__(self, accept: Accept, board: Board) -> None:
        self._accept = accept
        self._board = board

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        _check_disk(self._board, origin.peer)
        return await self._accept(envelope, content, origin)


class FaultyMailboxes:
    """Mailboxes that are full, or on a disk that is, where a fault says so."""

    def __init__(self, mailboxes: Mailboxes, board: Board) -> None:
        self._mailboxes = mailboxes
        self._board = board

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """Store durably and answer the name. Raises SpoolFull or SpoolError."""
        _check_disk(self._board, "")
        for standing in self._board.of(MailboxFull):
            if same_address(standing.fault.address, address) and self._board.strikes(
                standing, Occasion(address)
            ):
                raise SpoolFull(f"the mailbox of {address} is full")
        return await self._mailboxes.deliver(address, content, at)

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        return await self._mailboxes.read(address)


def _check_disk(board: Board, peer: str) -> None:
    """Raise what a disk under a fault answers to a write."""
    occasion = Occasion("disk", peer)
    for broken in board.of(ReadOnly):
        board.strikes(broken, occasion)
        raise SpoolError("the disk is read-only")
    for full in board.of(DiskFull):
        board.strikes(full, occasion)
        raise SpoolFull("no space left on the disk")
