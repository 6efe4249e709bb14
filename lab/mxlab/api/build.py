"""Scenarios in Python: functions that build the steps and conditions which the loader reads from
YAML, and `run`. All of it is offered as `from mxlab import ...`.

What makes no sense is a ScenarioError or UnknownName at once, where it is written.
"""

import asyncio
import functools
import secrets
import time as host
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeVar

import msgspec

from mxlab.backends.base import Backend
from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.faults import problem_of
from mxlab.model.condition import (
    AnyCondition,
    Bounced,
    Condition,
    Deferred,
    Delivered,
    Queue,
    Retries,
    Struck,
)
from mxlab.model.condition import Mailbox as MailboxCondition
from mxlab.model.duration import parse_duration, too_long
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.scenario import FASTEST, SLOWEST, Scenario
from mxlab.model.step import (
    AnyStep,
    Ask,
    Dns,
    Etrn,
    Eventually,
    Fault,
    Heal,
    Never,
    Parallel,
    Python,
    Say,
    Send,
    Step,
    Wait,
)
from mxlab.runner import runner
from mxlab.runner.progress import Report
from mxlab.runner.result import RunResult
from mxlab.runner.steps import Asker
from mxlab_services.config import TimeConfig

__all__ = [
    "Scenario", "ask", "bounced", "deferred", "delivered", "dns", "etrn", "eventually", "fault",
    "heal", "mailbox", "never", "parallel", "python", "queue", "retries", "run", "say", "send",
    "struck", "wait",
]  # fmt: skip

Duration = str | float  # "500ms", "2h", "5d", or lab seconds
S = TypeVar("S", bound=msgspec.Struct)
WORLDS = ("sim", "process", "docker")


# --- steps ---------------------------------------------------------------------------------------


def say(text: str) -> Say:
    """Tell the people who watch."""
    return _built(Say, {"text": text})


def ask(question: str, answer: str, hint: str = "") -> Ask:
    """Ask whoever sits at the terminal."""
    return _built(Ask, {"question": question, "answer": answer, "hint": hint})


def send(
    id: str,  # noqa: A002 - as in a scenario file
    *,
    to: str | Sequence[str],
    sender: str = "alice@client.test",
    count: int = 1,
    **more: Any,
) -> Send:
    """Submit `count` messages through the client; `id` names the batch. `more`: size, rate,
    concurrency, subject, body."""
    recipients = to if isinstance(to, str) else tuple(to)
    return _built(Send, {"id": id, "from": sender, "to": recipients, "count": count, **more})


def fault(
    id: str,  # noqa: A002 - as in a scenario file
    kind: str,
    host: str | None = None,
    **parameters: Any,
) -> Fault:
    """Break something until it is healed or the run ends: `fault("down", "kill", "mx1")`.

    `parameters` are the kind's own (code=451, verb="RCPT"). Without `host`: where such a fault
    belongs by itself, if it does. Raises UnknownName with the nearest kind.
    """
    if kind not in MECHANISMS:
        raise UnknownName("fault", kind, MECHANISMS)
    given = parameters if host is None else {"host": host, **parameters}
    mechanism = _built(MECHANISMS[kind], given)
    if wrong := problem_of(mechanism):
        raise ScenarioError(f"{kind}: {wrong}")
    return Fault(_name(id), mechanism)


def heal(fault: str | Fault) -> Heal:
    """Undo a fault, by its id or itself."""
    return Heal(fault.id if isinstance(fault, Fault) else _name(fault))


def wait(duration: Duration) -> Wait:
    """Let lab time pass."""
    return Wait(_seconds(duration))


def eventually(condition: AnyCondition, *, within: Duration) -> Eventually:
    """Go on as soon as the condition holds; fail if it does not in time."""
    return Eventually(_condition(condition), _seconds(within))


def never(condition: AnyCondition, *, during: Duration) -> Never:
    """Fail at once if the condition holds."""
    return Never(_condition(condition), _seconds(during))


def dns(
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    zone: str | None = None,
    origin: str | None = None,
) -> Dns:
    """Change a zone (the domain's, unless `origin` is given): a line of zone text each."""
    given = {"add": tuple(add), "remove": tuple(remove), "zone": zone, "origin": origin}
    return _built(Dns, given)


def etrn(host: str, asks: str, *, domain: str | None = None, reply: int | None = None) -> Etrn:
    """`host` asks another by SMTP to start its queue for the domain: `etrn("mx1", asks="mx2")`."""
    given = {"host": host, "asks": asks, "domain": domain, "reply": reply}
    return _built(Etrn, given)


def parallel(*steps: AnyStep) -> Parallel:
    """Run steps side by side."""
    return Parallel(_steps(steps))


def python(call: str | Callable[[Any], Awaitable[None]]) -> Python:
    """Await a function of one argument, the lab: itself, or as `module:function`."""
    if isinstance(call, str):
        return Python(call)
    return Python(getattr(call, "__name__", repr(call)), call)


# --- conditions ----------------------------------------------------------------------------------


def queue(host: str, *, holds: str | Send | None = None, count: int | None = None) -> Queue:
    """The queue of `host` holds every message of a batch, or just `count` messages."""
    if (holds is None) == (count is None):
        raise ScenarioError("a queue condition has either `holds` or `count`")
    return _built(Queue, {"host": host, "holds": holds and _batch(holds), "count": count})


def delivered(batch: str | Send) -> Delivered:
    """Every message of the batch lies in the mailbox of each of its recipients."""
    return Delivered(_batch(batch))


def bounced(batch: str | Send) -> Bounced:
    """The sender was told of the failure of each message of the batch."""
    return Bounced(_batch(batch))


def deferred(batch: str | Send) -> Deferred:
    """Every message of the batch waits in a queue because an attempt failed."""
    return Deferred(_batch(batch))


def retries(batch: str | Send, *, count: int, seconds: float) -> Retries:
    """At least `count` retries of the batch begin within some `seconds` of lab time."""
    return _built(Retries, {"batch": _batch(batch), "count": count, "seconds": seconds})


def struck(fault: str | Fault, *, count: int = 1) -> Struck:
    """A fault inside a node has struck so many times since it was set."""
    name = fault.id if isinstance(fault, Fault) else fault
    return _built(Struck, {"fault": name, "count": count})


def mailbox(
    address: str,
    *,
    count: int | None = None,
    at_least: int | None = None,
    host: str | None = None,
) -> MailboxCondition:
    """So many messages lie in the mailbox of `address`: `count`, or `at_least` as many."""
    given = {"address": address, "count": count, "at-least": at_least, "host": host}
    return _built(MailboxCondition, given)


# --- running -------------------------------------------------------------------------------------


def run(
    scenario: Scenario,
    backend: str = "sim",
    *,
    seed: int | None = None,
    time_scale: float | None = None,
    lab: str | None = None,
    progress: Report = runner.silent,
    asker: Asker | None = None,
) -> RunResult:
    """Run it in a lab of its own, and judge what became of every message.

    `backend`: sim, process or docker. Raises ScenarioError for a scenario that makes no sense,
    Unsupported before anything starts for a fault that the world cannot do; a failure is a finding.
    """
    if backend not in WORLDS:
        raise UnknownName("backend", backend, WORLDS)
    scale = scenario.time_scale if time_scale is None else time_scale
    if not SLOWEST <= scale <= FASTEST:
        raise UsageError(f"time_scale must be above 0, {SLOWEST:g} to {FASTEST:.0f}, not {scale:g}")
    _outside_a_loop()
    whole = msgspec.structs.replace(
        scenario, steps=_steps(scenario.steps), expect=tuple(scenario.expect)
    )
    run_id = secrets.token_hex(4)

    def play(world: Backend, time: TimeConfig) -> Coroutine[Any, Any, RunResult]:
        return runner.run(
            whole, world, lab=f"run-{run_id}" if lab is None else lab, run_id=run_id, seed=seed,
            time=time, progress=progress, asker=asker,
        )  # fmt: skip

    if backend == "sim":
        from mxlab.backends.sim.backend import SimBackend, simulate

        return simulate(lambda: play(SimBackend(), TimeConfig(scale)))
    now = host.time()  # noqa: TID251 - when this lab's time begins
    return asyncio.run(play(real_world(backend), TimeConfig(scale, now)))


def real_world(backend: str) -> Backend:
    """The world of that name in which time is real. Raises UnknownName."""
    match backend:
        case "process":
            from mxlab.backends.process import ProcessBackend

            return ProcessBackend()
        case "docker":
            from mxlab.backends.docker import DockerBackend

            return DockerBackend()
        case _:
            raise UnknownName("backend", backend, WORLDS[1:])


def _outside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "run() cannot be called while an event loop runs", "await mxlab.runner.runner.run()"
    )


# --- inner ---------------------------------------------------------------------------------------


def _built(kind: type[S], values: dict[str, Any]) -> S:
    """A struct from values as a scenario file has them. Raises ScenarioError."""
    given = {_key(kind, key): value for key, value in values.items() if value is not None}
    try:
        built: S = msgspec.convert({"value": given}, _box(kind), strict=True).value
    except msgspec.ValidationError as error:
        name = str(getattr(kind, "key", getattr(kind, "kind", kind.__name__)))
        text, _, path = str(error).partition(" - at `$.value")
        where = path.strip(".`")
        raise ScenarioError(f"{name}: {text}" + (f" ({where})" if where else "")) from error
    return built


@functools.cache
def _box(kind: Any) -> Any:
    return msgspec.defstruct("Box", [("value", kind)])


def _key(kind: type[msgspec.Struct], key: str) -> str:
    """A field's name in a file; `at_least` may stand for `at-least`, as Python has no hyphens."""
    names = {field.name: field.encode_name for field in msgspec.structs.fields(kind)}
    return names.get(key, key)


def _name(text: str) -> str:
    return _built(Delivered, {"batch": text}).batch


def _batch(batch: str | Send) -> str:
    return batch.id if isinstance(batch, Send) else _name(batch)


def _seconds(duration: Duration) -> float:
    try:
        seconds = parse_duration(duration) if isinstance(duration, str) else float(duration)
    except (ValueError, TypeError) as error:
        raise ScenarioError(str(error)) from error
    if too_long(seconds):
        raise ScenarioError(f"{duration!r} is no duration from 0 to ten years (3660d)")
    return seconds


def _condition(condition: AnyCondition) -> AnyCondition:
    if not isinstance(condition, Condition):
        raise ScenarioError(f"{condition!r} is no condition", hint="as delivered(...), queue(...)")
    return condition


def _steps(steps: Sequence[AnyStep]) -> tuple[AnyStep, ...]:
    for step in steps:
        if not isinstance(step, Step):
            raise ScenarioError(f"{step!r} is no step", hint="as send(...), fault(...), wait(...)")
    return tuple(steps)
