"""Scenarios in Python: functions that build the steps and conditions which the loader reads from
YAML. All of it is offered as `from mxlab import ...`.

What makes no sense is a ScenarioError or UnknownName at once, where it is written.

Long: a function for each step and condition, with its arguments spelt out for who types them.
"""

import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import msgspec

from mxlab.errors import ScenarioError, UnknownName, UsageError
from mxlab.model.condition import (
    AnyCondition,
    Attempted,
    Bounced,
    Condition,
    Deferred,
    Delivered,
    Notified,
    Queried,
    Queue,
    Replied,
    Retries,
    Struck,
)
from mxlab.model.condition import Mailbox as MailboxCondition
from mxlab.model.duration import parse_duration, too_long
from mxlab.model.mechanism import MECHANISMS
from mxlab.model.scenario import Scenario
from mxlab.model.step import (
    AnyStep,
    Ask,
    Config,
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
    SettingValue,
    Step,
    Wait,
)
from mxlab.scenario.settings import setting_value
from mxlab.typed import unmatched
from mxlab_services.faults.kinds import problem

__all__ = [
    "Scenario", "ask", "asked", "attempt", "bounced", "config", "deferred", "delivered", "dns",
    "etrn", "eventually", "fault", "heal", "mailbox", "never", "notified", "parallel", "python",
    "queue", "reply", "retries", "say", "send", "struck", "wait",
]  # fmt: skip

Duration = str | float  # "500ms", "2h", "5d", or lab seconds
S = TypeVar("S", bound=msgspec.Struct)
A = TypeVar("A", bound=AnyCondition)


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
    """Submit `count` messages through the client; `id` names the batch. `sender` may be the null
    one, "". `more`: via (which client), size, rate, concurrency, subject, body, notify ("never", or
    some of "success", "failure", "delay"), ret ("full", "hdrs"), headers ("Name: text" each),
    submission (a mapping: how a program hands it in by SMTP), and, in the place of size, subject
    and body, eml: a file with the whole message, below the present folder."""
    recipients = to if isinstance(to, str) else tuple(to)
    for key in ("notify", "headers"):
        if isinstance(more.get(key), list):
            more[key] = tuple(more[key])
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
    if wrong := problem(mechanism):
        raise ScenarioError(wrong)
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
    ttl: Duration | None = None,
    server: str | None = None,
) -> Dns:
    """Change a zone (the domain's, unless `origin` is given) at its primary, or at `server`: a line
    of zone text each, in which `{mx1}` stands for that host's address. `ttl` is for what is added,
    or for all there is."""
    given = {"add": tuple(add), "remove": tuple(remove), "zone": zone, "origin": origin}
    given |= {"server": server}
    step = _built(Dns, given | {"ttl": None if ttl is None else _seconds(ttl)})
    if wrong := step.misfit():
        raise ScenarioError(wrong)
    return step


def config(host: str, settings: Mapping[str, SettingValue]) -> Config:
    """Change settings of a host that runs, until the run ends:
    `config("mx1", {"limits.message_size": 1000})`. Durations may be text: "5m"."""
    for key, given in settings.items():
        try:
            setting_value(key, given)
        except UsageError as error:
            raise ScenarioError(str(error), hint=error.hint) from error
    return _built(Config, {"host": host, "settings": dict(settings)})


def etrn(host: str, asks: str, *, domain: str | None = None, reply: int | None = None) -> Etrn:
    """`host` asks another by SMTP to start its queue for the domain: `etrn("mx1", asks="mx2")`."""
    given = {"host": host, "asks": asks, "domain": domain, "reply": reply}
    return _built(Etrn, given)


def parallel(*steps: AnyStep) -> Parallel:
    """Run steps side by side."""
    return Parallel(checked_steps(steps))


def python(call: str | Callable[[Any], Awaitable[None]]) -> Python:
    """Await a function of one argument, the lab: itself, or as `module:function`."""
    if isinstance(call, str):
        return Python(call)
    return Python(getattr(call, "__name__", repr(call)), call)


# --- conditions ----------------------------------------------------------------------------------


def queue(
    host: str,
    *,
    holds: str | Send | None = None,
    count: int | None = None,
    at_least: int | None = None,
) -> Queue:
    """The queue of `host` holds every message of a batch, just `count` messages, or `at_least`."""
    given = {"host": host, "holds": holds and _batch(holds), "count": count, "at-least": at_least}
    return _condition(_built(Queue, given))


def delivered(batch: str | Send) -> Delivered:
    """Every message of the batch lies in the mailbox of each of its recipients."""
    return Delivered(_batch(batch))


def bounced(batch: str | Send, *, code: int | str | None = None) -> Bounced:
    """The sender was told of the failure of each message of the batch; with that code, if given:
    550, "5xx", "5.1.1"."""
    return _condition(_built(Bounced, {"batch": _batch(batch), "code": code}))


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


# What was seen in the events; of each, `count` just, `at_least` as many, or one at least.


def reply(
    host: str,
    code: int | str,
    *,
    verb: str | None = None,
    batch: str | Send | None = None,
    by: str | None = None,
    count: int | None = None,
    at_least: int | None = None,
) -> Replied:
    """The server `host` gave such replies: `reply("mx1", 450, verb="RCPT")`; `code` may be a class
    ("4xx") or an enhanced one ("4.2.2"); to `by`, about messages of a batch."""
    given = {"from": host, "code": code, "verb": verb, "batch": batch and _batch(batch), "by": by}
    return _counted(Replied, given, count, at_least)


def attempt(
    host: str,
    *,
    batch: str | Send | None = None,
    by: str | None = None,
    count: int | None = None,
    at_least: int | None = None,
) -> Attempted:
    """`host` was tried, by the host `by`, with messages of a batch; `count=0`: never."""
    given = {"host": host, "batch": batch and _batch(batch), "by": by}
    return _counted(Attempted, given, count, at_least)


def notified(
    address: str,
    *,
    kind: str = "failed",
    code: int | str | None = None,
    batch: str | Send | None = None,
    count: int | None = None,
    at_least: int | None = None,
) -> Notified:
    """Notifications of that kind (failed, delayed, delivered) lie in the mailbox of `address`."""
    given = {"address": address, "kind": kind, "code": code, "batch": batch and _batch(batch)}
    return _counted(Notified, given, count, at_least)


def asked(
    name: str,
    *,
    type: str | None = None,  # noqa: A002 - as in a scenario file
    server: str | None = None,
    by: str | None = None,
    count: int | None = None,
    at_least: int | None = None,
) -> Queried:
    """A name server was asked for `name`: `asked("example.test", type="MX", by="client")`."""
    given = {"name": name, "type": type, "server": server, "by": by}
    return _counted(Queried, given, count, at_least)


# --- inner ---------------------------------------------------------------------------------------


def _built(kind: type[S], values: dict[str, Any]) -> S:
    """A struct from values as a scenario file has them. Raises ScenarioError."""
    given = {_key(kind, key): value for key, value in values.items() if value is not None}
    try:
        built: S = msgspec.convert({"value": given}, _box(kind), strict=True).value
    except msgspec.ValidationError as error:
        text, _, path = str(error).partition(" - at `$.value")
        where = path.strip(".`")
        raise ScenarioError(
            f"{_called(kind)}: {text}" + (f" ({where})" if where else "")
        ) from error
    for field in msgspec.structs.fields(kind):
        if wrong := unmatched(getattr(built, field.name), field.type):
            raise ScenarioError(f"{_called(kind)}: {wrong} ({field.encode_name})")
    return built


def _called(kind: type[msgspec.Struct]) -> str:
    return str(getattr(kind, "key", getattr(kind, "kind", kind.__name__)))


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


def _condition(condition: A) -> A:
    if not isinstance(condition, Condition):
        raise ScenarioError(f"{condition!r} is no condition", hint="as delivered(...), queue(...)")
    if wrong := condition.misfit():
        raise ScenarioError(wrong)
    return condition


def _counted(kind: type[A], given: dict[str, Any], count: int | None, at_least: int | None) -> A:
    return _condition(_built(kind, given | {"count": count, "at-least": at_least}))


def checked_steps(steps: Sequence[AnyStep]) -> tuple[AnyStep, ...]:
    """The steps. Raises ScenarioError for what is none."""
    for step in steps:
        if not isinstance(step, Step):
            raise ScenarioError(f"{step!r} is no step", hint="as send(...), fault(...), wait(...)")
    return tuple(steps)
