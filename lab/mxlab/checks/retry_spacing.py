"""Whether senders keep the times of their retry schedule (RFC 5321 §4.5.4.1, MAIL-RULES C1). Pure.

Judged from what nodes did, not from what they say they know: a message is not tried before the time
its schedule gives, and a destination where no host answered is left alone by all messages alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.events import Event
from mxlab_services.queue.retry import SCHEDULES, Schedule

_SLACK = 0.01  # lab seconds: events bear the time at which they are told
_UNANSWERED = ("skipped", "connect", "greeting", "ehlo")  # stages that are no answer from the host


@dataclass(slots=True)
class Spacing:
    """`waits`: how many retries and pauses of destinations were looked at; `wrong`, in words."""

    waits: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Attempt:
    """A running attempt: was any host tried, did any answer, was there a route at all? `seq`
    and `at`: the event that said so last, and its time. A disk that refuses lets the record of the
    failure come later than the failure."""

    domain: str
    seq: int
    at: float
    tried: bool = False
    answered: bool = False
    routeless: bool = False


@dataclass(slots=True)
class _Node:
    """What one node has promised by now. Keys: queue id and recipient, or domain."""

    arrived: dict[str, float] = field(default_factory=dict)
    deferrals: dict[tuple[str, str], int] = field(default_factory=dict)
    not_before: dict[tuple[str, str], float] = field(default_factory=dict)
    dead_until: dict[str, float] = field(default_factory=dict)
    running: dict[str, _Attempt] = field(default_factory=dict)  # by queue id
    asked: int = -1  # the last event by which somebody asked for a try
    answered: dict[str, int] = field(default_factory=dict)  # domain -> the last by which it did


def spacing(trace: Trace, schedule_name: str) -> Spacing:
    """All retries of all nodes against the schedule of that name."""
    found = Spacing()
    for name, stream in trace.by_node.items():
        node, schedule = _Node(), SCHEDULES[schedule_name]
        for event in stream:
            if event.seq == 0:  # a new life knows no dead destinations
                node.dead_until.clear()
                node.running.clear()
                node.answered.clear()
                node.asked = -1
            for text in _take(node, event, schedule, found):
                found.wrong.append(f"{name}: {text}")
    return found


def _take(node: _Node, event: Event, schedule: Schedule, found: Spacing) -> Iterator[str]:
    match event.body:
        case events.Accepted(queue_id=queue_id):
            node.arrived[queue_id] = event.at
        case events.AttemptStarted(queue_id=queue_id, domain=domain, recipients=recipients):
            yield from _too_early(node, event.at, queue_id, domain, recipients)
            node.running[queue_id] = _Attempt(domain, event.seq, event.at)
        case events.Routed(domain=domain, targets=[]):
            for attempt in node.running.values():
                if attempt.domain == domain:
                    attempt.routeless, attempt.seq, attempt.at = True, event.seq, event.at
        case events.Tried(queue_id=queue_id, stage=stage):
            if (running := node.running.get(queue_id)) is not None:
                running.tried, running.seq, running.at = True, event.seq, event.at
                if stage not in _UNANSWERED:
                    running.answered = True
                    node.answered[running.domain] = event.seq
                    node.dead_until.pop(running.domain, None)
        case events.Deferred(queue_id=queue_id) as deferred:
            yield from _deferred(node, event.at, deferred, schedule, found)
        case events.Removed(queue_id=queue_id):
            node.running.pop(queue_id, None)
        case events.Flushed(scope=scope):
            node.asked = event.seq
            _flushed(node, scope)
        case events.Edited(queue_id=queue_id):
            node.asked = event.seq
            _flushed(node, queue_id)
            node.dead_until.clear()
        case _:
            pass


def _too_early(
    node: _Node, at: float, queue_id: str, domain: str, recipients: list[str]
) -> Iterator[str]:
    for recipient in recipients:
        due = node.not_before.pop((queue_id, recipient), 0.0)
        if at + _SLACK < due:
            yield f"{queue_id} for {recipient} was tried {due - at:.1f} s too early"
    dead_until = node.dead_until.get(domain, 0.0)
    if at + _SLACK < dead_until:
        yield (
            f"{queue_id} was tried although {domain} had not answered: {dead_until - at:.1f} s "
            f"too early for any message"
        )


def _deferred(
    node: _Node, at: float, deferred: events.Deferred, schedule: Schedule, found: Spacing
) -> Iterator[str]:
    queue_id = deferred.queue_id
    ended = node.running.pop(queue_id, None)
    at = ended.at if ended is not None else at
    for recipient in deferred.recipients:
        key = (queue_id, recipient)
        count = node.deferrals[key] = node.deferrals.get(key, 0) + 1
        node.not_before[key] = deferred.next_attempt
        found.waits += 1
        age = max(0.0, at - node.arrived.get(queue_id, at))
        wait, least = deferred.next_attempt - at, schedule.delay(count, max(0.0, age - 1.0))
        if wait < least - 1.0:
            yield (
                f"{queue_id} for {recipient} is to wait {wait:.1f} s after failure {count}, where "
                f"{schedule.name} says {least:.1f} s"
            )
    if ended is None or ended.answered:
        return
    if ended.seq < max(node.asked, node.answered.get(ended.domain, -1)):
        return  # overtaken by better news
    if ended.tried or ended.routeless:
        node.dead_until[ended.domain] = at + schedule.delay(1, 0.0) - 1.0


def _flushed(node: _Node, scope: str) -> None:
    """Somebody asked for a try: what was promised for these no longer counts."""
    for key in list(node.not_before):
        queue_id, recipient = key
        if scope in ("all", queue_id) or recipient.endswith(f"@{scope}"):
            del node.not_before[key]
    for domain in list(node.dead_until):
        if scope in ("all", domain) or scope in node.arrived:
            del node.dead_until[domain]
