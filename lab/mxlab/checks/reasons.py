"""Why a condition has not come to hold: who holds the mail, what was last heard, until when. Pure.

Told from the events alone, at the lab time `now`, message by message; what many have in common is
said once.
"""

import math
from collections.abc import Iterable

from mxlab.history.trace import LAB, MessageFate, Trace
from mxlab.model.duration import format_duration
from mxlab_services import events
from mxlab_services.events import Event

MOST = 5  # reasons that are told, of those that differ
NEVER = math.inf

Unit = tuple[str, str]  # a message and a recipient, or "" for all of them


def explained(units: Iterable[Unit], trace: Trace, now: float) -> list[str]:
    """Why these messages are where they are, the most frequent reason first."""
    groups: dict[str, list[Unit]] = {}
    soonest: dict[str, float] = {}
    for unit in units:
        text, again = _of(*unit, trace, now)
        groups.setdefault(text, []).append(unit)
        soonest[text] = min(again, soonest.get(text, again))
    found = []
    for text, same in sorted(groups.items(), key=lambda item: -len(item[1])):
        message, who = same[0]
        more = f" and {len(same) - 1} more" if len(same) > 1 else ""
        until = f"; next attempt {_when(soonest[text], now)}" if soonest[text] < NEVER else ""
        found.append(f"{message}{f' for {who}' if who else ''}{more}: {text}{until}")
    rest = len(found) - MOST
    return found[:MOST] + ([f"and {rest} other reasons"] if rest > 0 else [])


def _of(message: str, who: str, trace: Trace, now: float) -> tuple[str, float]:
    """What is known of one message, for one recipient or for all; when it is tried again."""
    fate = trace.fates[message]
    whom = {who} if who else set(fate.recipients)
    own = trace.of_message(message)
    held = [_held(node, own, whom, trace, now) for node in sorted(fate.queued)]
    said = [text for text, _ in held]
    if whom and whom <= fate.delivered:
        said.append("it is delivered")
    elif whom & fate.bounced:
        last = [text for event in own if (text := _heard(event, whom, "failed"))]
        said.append(f"it was given up: {last[-1]}" if last else "it was given up")
    return "; ".join(said) or _nowhere(fate, own), min((at for _, at in held), default=NEVER)


def _held(
    node: str, own: list[Event], whom: set[str], trace: Trace, now: float
) -> tuple[str, float]:
    """Who holds it and what was last heard there; when it is tried again."""
    begun: Event | None = None
    deferred: events.Deferred | None = None
    heard = ""
    for event in own:
        if event.node != node:
            continue
        match event.body:
            case events.AttemptStarted(recipients=recipients):
                if not whom or whom & {one.casefold() for one in recipients}:
                    begun = event
            case events.Outcome():
                heard = _heard(event, whom, "deferred", "unknown") or heard
            case events.Deferred(recipients=recipients) as body:
                if not whom or whom & {one.casefold() for one in recipients}:
                    begun, deferred = None, body
            case _:
                pass
    held, again = f"{node} holds it", NEVER
    if down := _broken(trace, node):
        held += f", and is down ({down})"
    elif deferred is not None:
        again = deferred.next_attempt or NEVER  # which not every software tells
    if deferred is not None:
        return f"{held}: {heard if deferred.reason in heard else deferred.reason}", again
    if begun is not None and not down:
        return f"{held}: its attempt, begun {_ago(begun.at, now)}, is not over", again
    dead = f", as {', '.join(sorted(trace.dead[node]))} does not answer" if trace.dead[node] else ""
    return held if down else f"{held}, and has not tried it yet{dead}", again


def _heard(event: Event, whom: set[str], *outcomes: str) -> str:
    """What a host said of one of those recipients, if that was the outcome."""
    body = event.body
    if not isinstance(body, events.Outcome) or body.outcome not in outcomes:
        return ""
    if whom and body.recipient.casefold() not in whom:
        return ""
    return f"{body.host}: {body.reply}" if body.host else body.reply


def _when(at: float, now: float) -> str:
    wait = round(at - now)
    return f"in {format_duration(wait)}" if wait > 0 else "is due now"


def _ago(at: float, now: float) -> str:
    passed = round(now - at)
    return f"{format_duration(passed)} ago" if passed > 0 else "just now"


def _nowhere(fate: MessageFate, own: list[Event]) -> str:
    edits = [e for e in own if isinstance(e.body, events.Edited)]
    for event in reversed(edits):
        if isinstance(event.body, events.Edited) and event.body.action in ("delete", "expire"):
            return f"an operator's {event.body.action} took it from {event.node}"
    if fate.delivered:
        return f"delivered to {', '.join(sorted(fate.delivered))} only, and nobody holds it"
    return "nobody holds it"


def _broken(trace: Trace, node: str) -> str:
    """The fault that keeps the node from working, by its id and kind; or nothing."""
    found: dict[str, str] = {}
    for event in trace.by_node.get(LAB, ()):
        match event.body:
            case events.LabFault(id=name, fault="kill" | "stop" | "pause" as kind, node=host):
                if host == node:
                    found[name] = f"{name}: {kind}"
            case events.LabHealed(id=name):
                found.pop(name, None)
            case _:
                pass
    return ", ".join(found.values())


def empty_queue(trace: Trace, host: str) -> str:
    """That nothing waits at a host, and why."""
    down = _broken(trace, host)
    return f"nothing is queued at {host}" + (f", which is down ({down})" if down else "")


def strikes(trace: Trace, fault: str, now: float) -> str:
    """Whether the fault is set, and what came to its node since."""
    since: Event | None = None
    healed: Event | None = None
    for event in trace.by_node.get(LAB, ()):
        match event.body:
            case events.LabFault(id=name) if name == fault:
                since, healed = event, None
            case events.LabHealed(id=name) if name == fault:
                healed = event
            case _:
                pass
    if since is None or not isinstance(since.body, events.LabFault):
        return f"{fault} is not set"
    if healed is not None:
        return f"{fault} was healed {_ago(healed.at, now)}"
    host = since.body.node
    met = 0
    for stream in trace.by_node.values():
        for event in stream:
            match event.body:
                case events.Tried(host=name) if event.at >= since.at:
                    met += name.partition(".")[0] == host
                case events.DnsQuery() if event.at >= since.at and event.node == host:
                    met += 1
                case _:
                    pass
    came = f"came to {host} {met} times" if met else f"never came to {host}"
    return f"{fault} was set {_ago(since.at, now)}; mail or a question {came} since"
