"""The faults that are set on a node: which occasions they strike, how often, and their requests.

Guarantee: equal occasions in an equal order give equal strikes, for the same seed; and a fault is
on the board exactly while it is in force: one that could not be set, or not cleared, says so.
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
from mxlab_services.faults.kinds import AnyFault, Fault, problem
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, FaultState

F = TypeVar("F", bound=Fault)
F_co = TypeVar("F_co", bound=Fault, covariant=True)
INVALID = -32602  # JSON-RPC 2.0: invalid params
MOST = 200  # faults at a time


class Standing(Struct, Generic[F_co], eq=False):
    """A fault that is set. `met`: occasions that fitted; `struck`: those on which it struck."""

    id: str
    fault: F_co
    rng: random.Random
    met: int = 0
    struck: int = 0


class Occasion(Struct, frozen=True):
    """Something on which a fault may strike. `sender` is None where none is known yet."""

    place: str
    peer: str = ""
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    message: str | None = None


Wait = tuple[Standing[Fault], float]
"""A fault that has struck, and the real seconds for which it holds something up."""


class Site(Protocol):
    """The part of a node that faults change from within."""

    def check(self, fault: AnyFault) -> None:
        """Raise ControlError for a fault that cannot be set here."""
        ...

    async def begin(self, standing: Standing[AnyFault]) -> None:
        """Put a fault, which is on the board by now, in force; return once it is."""
        ...

    async def end(self, standing: Standing[AnyFault]) -> None:
        """Make all as it is without a fault, which is off the board by now. Harmless if it is."""
        ...


class Board:
    """The faults of one node. `rng` makes a random source for a fault's id."""

    def __init__(self, emit: Emit, rng: Callable[[str], random.Random] = random.Random) -> None:
        self._emit = emit
        self._rng = rng
        self._set: dict[str, Standing[AnyFault]] = {}
        self._changing = asyncio.Lock()
        self._cleared = asyncio.Event()  # by the next fault that is cleared; then a new one

    def __bool__(self) -> bool:
        return bool(self._set)

    def of(self, *kinds: type[F]) -> list[Standing[F]]:
        """The faults of these classes that are set, in the order in which they were."""
        return [one for one in self._set.values() if isinstance(one.fault, kinds)]  # type: ignore[misc]

    def meets(self, standing: Standing[Fault], occasion: Occasion) -> bool:
        """Count the occasion if it fits the fault's selector, and answer whether it strikes."""
        select = standing.fault.selected
        if not select.fits(occasion.peer, occasion.sender, occasion.recipients):
            return False
        standing.met += 1
        if select.first is not None:
            return standing.met <= select.first
        if select.nth is not None:
            return standing.met == select.nth
        return select.chance is None or standing.rng.random() < select.chance

    def strike(self, standing: Standing[Fault], occasion: Occasion) -> None:
        """Put on record that a fault does what it does."""
        standing.struck += 1
        struck = FaultStruck(standing.id, standing.fault.kind, occasion.place, occasion.peer)
        self._emit(struck, occasion.message)

    def strikes(self, standing: Standing[Fault], occasion: Occasion) -> bool:
        """`meets`, and on record if it does."""
        if not self.meets(standing, occasion):
            return False
        self.strike(standing, occasion)
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

    def answer(self, controls: Controls, site: Site) -> None:
        """Answer the requests about faults, which `site` carries out."""

        async def put(request: FaultSet) -> FaultState:
            async with self._changing:
                return await self._put(request, site)

        async def clear(request: FaultClear) -> list[str]:
            async with self._changing:
                return await self._clear(request, site)

        async def states(_: FaultList) -> list[FaultState]:
            return [_state(standing) for standing in self._set.values()]

        controls.add(FaultSet, put)
        controls.add(FaultClear, clear)
        controls.add(FaultList, states)

    async def _put(self, request: FaultSet, site: Site) -> FaultState:
        if not request.id:
            raise ControlError("a fault needs an id", INVALID)
        wrong = problem(request.fault)
        if wrong:
            raise ControlError(f"fault {request.id!r}: {wrong}", INVALID)
        there = self._set.get(request.id)
        if there is not None:
            if there.fault == request.fault:
                return _state(there)
            kind = there.fault.kind
            raise ControlError(f"a fault {request.id!r} ({kind}) is set; clear it first", INVALID)
        if len(self._set) >= MOST:
            raise ControlError(f"{MOST} faults are set; clear some first")
        site.check(request.fault)
        standing = Standing(request.id, request.fault, self._rng(request.id))
        self._set[request.id] = standing
        try:
            await site.begin(standing)
        except BaseException:
            del self._set[request.id]
            await site.end(standing)
            raise
        return _state(standing)

    async def _clear(self, request: FaultClear, site: Site) -> list[str]:
        if (request.id is None) != request.all:
            raise ControlError("name one fault, or say all", INVALID)
        if request.id is not None and request.id not in self._set:
            known = ", ".join(self._set) or "none"
            raise ControlError(f"no fault {request.id!r} is set; set are: {known}", INVALID)
        ids = [request.id] if request.id is not None else list(reversed(self._set))
        for one in ids:
            before = dict(self._set)
            standing = self._set.pop(one)
            try:
                await site.end(standing)
            except BaseException:
                self._set = before
                raise
            self._cleared.set()
            self._cleared = asyncio.Event()
        return ids


def _state(standing: Standing[AnyFault]) -> FaultState:
    return FaultState(standing.id, standing.fault, standing.met, standing.struck)
