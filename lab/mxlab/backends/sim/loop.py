"""An asyncio event loop in virtual time, with hosts that can be paused or lose their power.

Time jumps to the next timer; nothing ever waits. Callbacks run in an order that only the seed and
the code decide: timers with equal deadlines fire in the order in which they were set. Threads and
real sockets do not exist here, and asking for one is an error that names the line.

Long: a life, its tasks and the loop know each other.
"""

import asyncio
import contextvars
import heapq
import itertools
import math
import sys
import threading
from asyncio import base_events, events, sslproto
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar, TypeVarTuple

from mxlab.errors import LabError

RESOLUTION = 1e-9  # seconds: a timer that is nearer than that is due
R = TypeVar("R")
Ts = TypeVarTuple("Ts")


class SimLeak(LabError):
    """Code in the simulation reached for the real world: a clock, a socket or a thread."""


class Deadlock(LabError):
    """Nothing is scheduled and something is still awaited; the message says who waits for what."""


class Runaway(LabError):
    """The simulated world goes on and on: more turns of the loop than it was given."""


class HostLife:
    """One life of a host, from start to stop or crash. Its tasks carry it in their context.

    While paused, the host's callbacks wait for `resume`. Once over, none of its code has an effect
    any more: transports are gone and events are not heard.
    """

    def __init__(self, host: str, loop: "SimLoop") -> None:
        self.host = host
        self.over = False
        self.paused = False
        self.loop = loop
        self._waiting: list[events.Handle] = []
        self.context = contextvars.copy_context()
        self.context.run(LIFE.set, self)

    def pause(self) -> None:
        self.paused = True

    def resume(self) -> None:
        self.paused = False
        for handle in self._waiting:
            self.loop.enqueue(handle)
        self._waiting.clear()

    def defer(self, handle: events.Handle) -> None:
        self._waiting.append(handle)

    def end(self) -> "list[_Task[Any]]":
        """Make everything of this life ineffective; returns the tasks that are left to cancel."""
        self.over = True
        self.resume()
        tasks = [
            task
            for task in asyncio.all_tasks(self.loop)
            if isinstance(task, _Task) and task.life is self
        ]
        return sorted(tasks, key=lambda task: task.number)


LIFE = contextvars.ContextVar[HostLife | None]("mxlab_sim_life", default=None)


class _Task(asyncio.Task[R]):
    """A task that knows whose it is, and the how manieth of its loop."""

    __slots__ = ("life", "number")
    life: HostLife | None
    number: int


class _Handle(events.Handle):
    """A callback; made often, so it leaves out what only a debugging loop needs."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., Any],
        args: Any,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class _Timer(events.TimerHandle):
    """The same for a time; its order among others is kept by the loop."""

    __slots__ = ()

    def __init__(
        self,
        when: float,
        callback: Callable[..., Any],
        args: Any,
        loop: asyncio.AbstractEventLoop,
        context: contextvars.Context | None,
    ) -> None:
        self._when = when
        self._scheduled = False
        self._context = contextvars.copy_context() if context is None else context
        self._loop = loop
        self._callback = callback
        self._args = args
        self._cancelled = False
        self._repr = None
        self._source_traceback = None


class SimLoop(base_events.BaseEventLoop):
    """Virtual time in seconds from 0. `network` is set by the world that makes the loop."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._order = itertools.count()
        self._timers: list[tuple[float, int, events.TimerHandle]] = []  # a heap
        self._dropped = 0  # timers that were cancelled since the heap was last made anew
        self.turns = 0
        self.most_turns: int | None = None
        self.network: Any = None
        self.leaks: list[SimLeak] = []  # also kept here, since services may catch what they raise

    def time(self) -> float:
        return self._now

    def turn(self) -> None:
        """Count a turn of the loop. Raises Runaway where that was one too many."""
        self.turns += 1
        if self.most_turns is not None and self.turns > self.most_turns:
            self.most_turns += 10_000  # for what is to be cleared away now
            raise Runaway(
                f"the simulated world went on for {self.turns} turns, until {self._now:.3f} s",
                "something is tried again and again without a pause",
            )

    def enqueue(self, handle: events.Handle) -> None:
        self._ready.append(handle)  # type: ignore[attr-defined]

    # --- asyncio's inner seams -------------------------------------------------------------------

    def _write_to_self(self) -> None:
        pass

    def _run_once(self) -> None:
        """Run what is ready and what is due; where nothing is, jump to the next timer."""
        ready, timers = self._ready, self._timers  # type: ignore[attr-defined]
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not (ready or timers or self._stopping):  # type: ignore[attr-defined]
            raise Deadlock(*self.explain())
        self.turn()
        if not (ready or self._stopping):  # type: ignore[attr-defined]
            self._now = max(self._now, timers[0][0])
        due = self._now + RESOLUTION
        if due == self._now:  # past 2^24 s that is lost in rounding
            due = math.nextafter(due, math.inf)
        while timers and timers[0][0] < due:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            context = handle._context
            life = context.get(LIFE)
            if life is not None and life.paused:
                life.defer(handle)
                continue
            try:
                context.run(handle._callback, *handle._args)
            except (SystemExit, KeyboardInterrupt):
                raise
            except BaseException as error:  # noqa: BLE001 - as asyncio's own handles do
                self._tell(handle, error)

    def _tell(self, handle: events.Handle, error: BaseException) -> None:
        text = f"Exception in callback {handle._callback!r}"  # type: ignore[attr-defined]
        self.call_exception_handler({"message": text, "exception": error, "handle": handle})

    def call_soon(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> events.Handle:
        self._check_closed()  # type: ignore[attr-defined]
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(
        self,
        when: float,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> events.TimerHandle:
        self._check_closed()  # type: ignore[attr-defined]
        timer = _Timer(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._order), timer))
        return timer

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        self._dropped += 1
        if self._dropped > 100 and self._dropped > len(self._timers) // 2:
            self._timers[:] = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)
            self._dropped = 0

    def create_task(
        self, coro: Generator[Any, None, R] | Coroutine[Any, Any, R], **kwargs: Any
    ) -> asyncio.Task[R]:
        self._check_closed()  # type: ignore[attr-defined]
        task: _Task[R] = _Task(coro, loop=self, **kwargs)
        context = kwargs.get("context")
        task.life = life = LIFE.get() if context is None else context.get(LIFE)
        task.number = next(self._order)
        if life is not None and life.over:  # what a dying host begins never runs
            task.cancel()
        return task

    # --- what does not exist here ----------------------------------------------------------------

    def call_soon_threadsafe(
        self,
        callback: Callable[[*Ts], object],
        *args: *Ts,
        context: contextvars.Context | None = None,
    ) -> events.Handle:
        if self._thread_id not in (None, threading.get_ident()):  # type: ignore[attr-defined]
            raise self._leak("a thread")
        return self.call_soon(callback, *args, context=context)

    def run_in_executor(
        self, executor: Any, func: Callable[[*Ts], R], *args: *Ts
    ) -> asyncio.Future[R]:
        raise self._leak("a thread")

    def leaked(self, place: str, what: str) -> SimLeak:
        """The error for code that reached for the real world, put on record."""
        error = SimLeak(
            f"{place} asks for {what}, which the simulation does not have",
            "services take the clock, randomness, network and disk as parts",
        )
        self.leaks.append(error)
        return error

    def _leak(self, what: str) -> SimLeak:
        frame = sys._getframe(2)
        while frame.f_back and "/asyncio/" in frame.f_code.co_filename:
            frame = frame.f_back
        return self.leaked(f"{frame.f_code.co_filename}:{frame.f_lineno}", what)

    # --- the network ------------------------------------------------------------------------------

    async def getaddrinfo(self, host: Any, port: Any, **hints: Any) -> Any:
        return self.network.getaddrinfo(host, port)

    async def create_server(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        return self.network.listen(protocol_factory, host, port)

    async def create_connection(
        self, protocol_factory: Any, host: Any = None, port: Any = None, **options: Any
    ) -> Any:
        context = options.get("ssl")
        if not context:
            return await self.network.connect(protocol_factory, host, port)
        protocol, waiter = protocol_factory(), self.create_future()
        name = options.get("server_hostname") or host
        tls: Any = sslproto.SSLProtocol(self, protocol, context, waiter, server_hostname=name)
        transport, _ = await self.network.connect(lambda: tls, host, port)
        try:
            await waiter
        except BaseException:
            transport.abort()
            raise
        return tls._app_transport, protocol

    async def create_datagram_endpoint(
        self, protocol_factory: Any, local_addr: Any = None, remote_addr: Any = None, **options: Any
    ) -> Any:
        return self.network.datagrams(protocol_factory, local_addr, remote_addr)

    # --- telling what is wrong --------------------------------------------------------------------

    def explain(self) -> tuple[str, str]:
        """Who waits for what: a message and its hint."""
        lines = []
        for task in sorted(asyncio.all_tasks(self), key=lambda t: t.get_name()):
            life = task.life if isinstance(task, _Task) else None
            place = _waiting_at(task)
            who = "the lab" if life is None else life.host + (" (paused)" if life.paused else "")
            lines.append(f"  {who}: {task.get_name()} waits at {place}")
        return (
            f"the simulated world is stuck at {self._now:.3f} s: nothing is scheduled\n"
            + "\n".join(lines),
            "a step waits for something that can no longer happen",
        )


def _waiting_at(task: asyncio.Task[Any]) -> str:
    """The innermost line of ours at which a task is suspended."""
    place = "nowhere"
    step: Any = task.get_coro()
    while (frame := getattr(step, "cr_frame", None)) is not None:
        if "/asyncio/" not in frame.f_code.co_filename:
            file = frame.f_code.co_filename.rpartition("/")[2]
            place = f"{file}:{frame.f_lineno} in {frame.f_code.co_name}"
        step = step.cr_await
    return place
