"""The faults that are set on a node: which occasions they strike, how often, and their requests.

Guarantee: equal occasions in an equal order give equal strikes, for the same seed; and a fault is
set exactly while it is in force: one that could not be set, or not cleared, says so.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from mxlab_services.control.rpc import Controls
from mxlab_services.errors import ControlError
from mxlab_services.events import Emit, FaultStruck
from mxlab_services.faults.base import NodeFault
from mxlab_services.faults.kinds import AnyFault, TlsBroken, problem
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, FaultState, Pem

F = TypeVar("F", bound=NodeFault)
F_co = TypeVar("F_co", bound=NodeFault, covariant=True)
INVALID = -32602  # JSON-RPC 2.0: invalid params
MOST = 200  # faults at a time


class ActiveFault(Struct, Generic[F_co], eq=False):
    """A fault that is set. `met`: occasions that fitted; `struck`: those on which it struck;
    `pem`: the certificate and key that it needs."""

    id: str
    fault: F_co
    rng: random.Random
    pem: Pem | None = None
    met: int = 0
    struck: int = 0


class Occasion(Struct, frozen=True):
    """Something on which a fault may strike. `sender` is None where none is known yet."""

    place: str
    peer: str = ""
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    message: str | None = None


Wait = tuple[ActiveFault[NodeFault], float]
"""A fault that has struck, and the real seconds for which it holds something up."""


class Effects(Protocol):
    """The part of a node that faults change from within."""

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a fault that cannot be set here."""
        ...

    async def begin(self, active: ActiveFault[AnyFault]) -> None:
        """Put a fault, which is set by now, in force; return once it is."""
        ...

    async def end(self, active: ActiveFault[AnyFault]) -> None:
        """Make all as it is without a fault, which is cleared by now. Harmless if it is."""
        ...


class NodeInjector:
    """The faults of one node. `rng` makes a random source for a fault's id."""

    def __init__(self, emit: Emit, rng: Callable[[str], random.Random] = random.Random) -> None:
        self._emit = emit
        self._rng = rng
        self._set: dict[str, ActiveFault[AnyFault]] = {}
        self._changing = asyncio.Lock()
        self._cleared = asyncio.Event()  # by the next fault that is cleared; then a new one

    def __bool__(self) -> bool:
        return bool(self._set)

    def of(self, *kinds: type[F]) -> list[ActiveFault[F]]:
        """The faults of these classes that are set, in the order in which they were."""
        return [one for one in self._set.values() if isinstance(one.fault, kinds)]  # type: ignore[misc]

    def meets(self, active: ActiveFault[NodeFault], occasion: Occasion) -> bool:
        """Count the occasion if it fits the fault's selector, and return whether it strikes."""
        if not active.fault.fits(occasion.peer, occasion.sender, occasion.recipients):
            return False
        active.met += 1
        return active.fault.strikes_on(active.met, active.rng)

    def strike(self, active: ActiveFault[NodeFault], occasion: Occasion) -> None:
        """Put on record that a fault does what it does."""
        active.struck += 1
        struck = FaultStruck(active.id, active.fault.kind, occasion.place, occasion.peer)
        self._emit(struck, occasion.message)

    def strikes(self, active: ActiveFault[NodeFault], occasion: Occasion) -> bool:
        """`meets`, and on record if it does."""
        if not self.meets(active, occasion):
            return False
        self.strike(active, occasion)
        return True

    async def sleep(self, waits: Sequence[Wait]) -> None:
        """Sleep for the real seconds of all these faults, less those of a fault cleared since."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while True:
            still = [wait for one, wait in waits if self._set.get(one.id) is one]
            left = began + sum(still) - loop.time()
            if left <= 0:
                return
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._cleared.wait()

    # --- requests ---------------------------------------------------------------------------------

    def answer(self, controls: Controls, effects: Effects) -> None:
        """Answer the requests about faults, which `effects` carries out."""

        async def put(request: FaultSet) -> FaultState:
            async with self._changing:
                return await self._put(request, effects)

        async def clear(request: FaultClear) -> list[str]:
            async with self._changing:
                return await self._clear(request, effects)

        async def states(_: FaultList) -> list[FaultState]:
            return [_state(active) for active in self._set.values()]

        controls.add(FaultSet, put)
        controls.add(FaultClear, clear)
        controls.add(FaultList, states)

    async def _put(self, request: FaultSet, effects: Effects) -> FaultState:
        if not request.id:
            raise ControlError("a fault needs an id", INVALID)
        if wrong := problem(request.fault) or _incomplete(request):
            raise ControlError(f"fault {request.id!r}: {wrong}", INVALID)
        there = self._set.get(request.id)
        if there is not None:
            if there.fault == request.fault:
                return _state(there)
            kind = there.fault.kind
            raise ControlError(f"a fault {request.id!r} ({kind}) is set; clear it first", INVALID)
        if len(self._set) >= MOST:
            raise ControlError(f"{MOST} faults are set; clear some first")
        effects.check(request.fault)
        active = ActiveFault(request.id, request.fault, self._rng(request.id), request.pem)
        self._set[request.id] = active
        try:
            await effects.begin(active)
        except BaseException:
            del self._set[request.id]
            await effects.end(active)
            raise
        return _state(active)

    async def _clear(self, request: FaultClear, effects: Effects) -> list[str]:
        if (request.id is None) != request.all:
            raise ControlError("name one fault, or say all", INVALID)
        if request.id is not None and request.id not in self._set:
            known = ", ".join(self._set) or "none"
            raise ControlError(f"no fault {request.id!r} is set; set are: {known}", INVALID)
        ids = [request.id] if request.id is not None else list(reversed(self._set))
        for one in ids:
            before = dict(self._set)
            active = self._set.pop(one)
            try:
                await effects.end(active)
            except BaseException:
                self._set = before
                raise
            self._cleared.set()
            self._cleared = asyncio.Event()
        return ids


def _incomplete(request: FaultSet) -> str | None:
    """What a fault lacks that makes sense in a scenario, but cannot be set as it stands."""
    fault = request.fault
    if named := fault.hosts[1:]:
        return f"{fault.kind}: a node knows no {named[0]!r}, only addresses and networks"
    if (isinstance(fault, TlsBroken) and fault.how != "handshake-cut") != (request.pem is not None):
        return "tls-broken: certificate and key are for expired and wrong-name, which need both"
    return None


def _state(active: ActiveFault[AnyFault]) -> FaultState:
    return FaultState(active.id, active.fault, active.met, active.struck)
