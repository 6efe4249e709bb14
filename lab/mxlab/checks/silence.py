"""Whether each reply that a sender never read had a fault to blame for it. Pure.

A reply is read to its last line, in whatever pieces it comes (RFC 5321 §4.2.1): where nothing is
broken that could keep it from coming, a host that was connected to was heard.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.history.trace import LAB, Trace
from mxlab.model.mechanism import MECHANISMS, Segments
from mxlab_services import events
from mxlab_services.faults.kinds import DnsFault

_HARMLESS = {
    name for name, kind in MECHANISMS.items() if issubclass(kind, DnsFault | Segments)
}  # which no reply is lost by
_HEARD = ("skipped", "connect")  # stages at which no reply was due
_UNREAD = "4.4."  # of what a program found amiss itself (a certificate, say) the reply is another
_SLACK = 60.0  # lab seconds: a fault works a little before it is told, and after it is healed


@dataclass(slots=True)
class Silences:
    """`tries`: how many connections were looked at; `wrong`, in words."""

    tries: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Spell:
    """When a fault was in force on a node, in lab seconds."""

    node: str
    begin: float
    end: float = float("inf")

    def excuses(self, sides: set[str], since: float, until: float) -> bool:
        """Whether it befell one of these hosts at any time between."""
        return self.node in sides and self.begin <= until and since <= self.end


def silences(trace: Trace) -> Silences:
    """Every try of every node that reached a host, against the faults that the run injected."""
    found, spells = Silences(), list(_spells(trace))
    for node, stream in trace.by_node.items():
        began: dict[tuple[str, str], float] = {}  # queue id, domain
        for event in stream:
            match event.body:
                case events.AttemptStarted(queue_id=queue_id, domain=domain):
                    began[queue_id, domain] = began[queue_id, ""] = event.at
                case events.Tried(queue_id=queue_id, stage=stage) as tried if stage not in _HEARD:
                    found.tries += 1
                    if tried.reply[:3].isdigit():
                        continue
                    sides = {node, tried.host.partition(".")[0]}
                    since = began.get((queue_id, tried.domain), event.at)
                    times = since - _SLACK, event.at + _SLACK
                    known = sides <= trace.by_node.keys()
                    if not any(s.excuses(sides if known else {s.node}, *times) for s in spells):
                        found.wrong.append(f"{node}: {queue_id} at {tried.host}: {tried.reply}")
                case events.HandedIn(stage=stage) as handed if stage not in _HEARD:
                    found.tries += 1
                    if handed.reply.startswith(_UNREAD):
                        times = event.at - _SLACK, event.at + _SLACK
                        if not any(s.excuses({node}, *times) for s in spells):
                            text = f"{node}: a program at {handed.host}: {handed.reply}"
                            found.wrong.append(text)
                case _:
                    pass
    return found


def _spells(trace: Trace) -> Iterator[_Spell]:
    """The faults that can silence a host. Each begins with the step that injects it."""
    running: dict[str, _Spell] = {}
    step = 0.0
    for event in trace.by_node.get(LAB, ()):
        match event.body:
            case events.LabStep():
                step = event.at
            case events.LabFault(id=name, fault=kind, node=node) if kind not in _HARMLESS:
                running[name] = _Spell(node, step)
                yield running[name]
            case events.LabHealed(id=name) if name in running:
                running[name].end = event.at
            case _:
                pass
