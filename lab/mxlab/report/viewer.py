"""A run as its page shows it. Pure, and the same for the same run."""

from collections import defaultdict

from mxlab.history.biography import describe
from mxlab.history.ledger import Unit, make_ledger
from mxlab.history.trace import LAB, Trace
from mxlab.report.view import (
    Account,
    NodeLane,
    Notice,
    Row,
    Shade,
    Stay,
    StepBegin,
    Try,
    TryFate,
    View,
)
from mxlab.runner.result import RunResult
from mxlab_services import events
from mxlab_services.events import Event


def view(result: RunResult) -> View:
    """The view of a run."""
    return _Viewer(result).view()


class _Viewer:
    def __init__(self, result: RunResult) -> None:
        self._result = result
        self._events = result.trace.events()
        self._begin = self._events[0].at if self._events else 0.0
        self._end = self._since(self._events[-1].at) if self._events else 0.0
        topology = result.evidence.topology
        names = [*topology.sender_domains, *(relay.host for relay in topology.relays)]
        names += [exchange.host for exchange in topology.exchanges]
        names += topology.dns_hosts
        others = [name for name in result.trace.by_node if name not in (*names, LAB)]
        self._lanes = {name: number for number, name in enumerate([*names, *others])}
        self._messages = {name: n for n, name in enumerate(_messages(result.trace))}

    def view(self) -> View:
        result, scenario = self._result, self._result.scenario
        ledger = make_ledger(result.trace, result.evidence)
        for message, _ in ledger.units:
            self._messages.setdefault(message, len(self._messages))
        return View(
            scenario=scenario.id or "scenario",
            title=scenario.title,
            summary=scenario.summary,
            backend=result.backend,
            run=result.run_id,
            seed=result.seed,
            time_scale=result.time_scale,
            verdict=result.verdict,
            replay=result.replay,
            lab_seconds=result.lab_seconds,
            real_seconds=result.took,
            submitted=len(result.evidence.submissions),
            findings=result.findings,
            gaps=ledger.gaps,
            end=self._end,
            lanes=self._drawn_lanes(),
            messages=list(self._messages),
            rows=[self._row(event) for event in self._events],
            tries=self._tries(),
            stays=self._stays(),
            notices=self._notices(),
            shades=self._shades(),
            steps=[
                StepBegin(self._since(event.at), event.body.index, event.body.text)
                for event in self._events
                if isinstance(event.body, events.LabStep)
            ],
            ledger=[self._account(unit) for unit in ledger.units.values()],
        )

    def _since(self, at: float) -> float:
        return round(at - self._begin, 6)

    def _message(self, name: str | None) -> int:
        return -1 if name is None else self._messages[name]

    def _row(self, event: Event) -> Row:
        lane = self._lanes.get(event.node, -1)
        message = self._message(event.message)
        return Row(self._since(event.at), lane, event.kind, message, describe(event))

    def _drawn_lanes(self) -> list[NodeLane]:
        topology = self._result.evidence.topology
        roles = dict.fromkeys(topology.sender_domains, "client")
        roles |= dict.fromkeys(topology.dns_hosts, "DNS")
        roles |= {relay.host: "relay" for relay in topology.relays}
        roles |= {exchange.host: f"MX {exchange.preference}" for exchange in topology.exchanges}
        depths = self._depths()
        return [NodeLane(name, roles.get(name, ""), depths[name]) for name in self._lanes]

    def _depths(self) -> dict[str, list[tuple[float, int]]]:
        """Each node's queue over time, one point for each moment of change."""
        depths: dict[str, list[tuple[float, int]]] = defaultdict(list)
        inside: dict[str, set[str]] = defaultdict(set)
        for event in self._events:
            here = inside[event.node]
            match event.body:
                case events.Accepted(queue_id=queue_id):
                    here.add(queue_id)
                case events.Removed(queue_id=queue_id):
                    here.discard(queue_id)
                case events.SpoolDamaged(lost=lost):
                    here.difference_update(lost)
                case _:
                    continue
            points, at = depths[event.node], self._since(event.at)
            if points and points[-1][0] == at:
                points.pop()
            points.append((at, len(here)))
        return depths

    def _tries(self) -> list[Try]:
        unknown = self._unknown()
        found = []
        for number, event in enumerate(self._events):
            if not isinstance(event.body, events.Tried):
                continue
            tried, end = event.body, self._since(event.at)
            begin = max(0.0, round(end - tried.seconds * self._result.time_scale, 6))
            lane = self._lanes.get(event.node, -1)
            to = self._lanes.get(tried.host.partition(".")[0], -1)
            message, fate = self._message(event.message), _fate(tried, number in unknown)
            found.append(Try(number, message, lane, to, begin, end, fate, tried.host, tried.dialog))
        return found

    def _unknown(self) -> set[int]:
        """The tries, by number of event, whose last reply never came: the outcomes come after."""
        latest: dict[tuple[str, str, str], int] = {}
        unknown = set()
        for number, event in enumerate(self._events):
            match event.body:
                case events.Tried(queue_id=queue_id, host=host):
                    latest[event.node, queue_id, host] = number
                case events.Outcome(queue_id=queue_id, host=host, outcome="unknown"):
                    unknown.add(latest.get((event.node, queue_id, host), -1))
                case _:
                    pass
        return unknown

    def _stays(self) -> list[Stay]:
        stays: list[Stay] = []
        since: dict[tuple[str, str], tuple[int, float]] = {}
        for event in self._events:
            match event.body:
                case events.Accepted(queue_id=queue_id):
                    entry = (self._message(event.message), self._since(event.at))
                    since.setdefault((event.node, queue_id), entry)
                case events.Removed(queue_id=queue_id):
                    begun = since.pop((event.node, queue_id), None)
                    if begun is not None:
                        lane = self._lanes.get(event.node, -1)
                        stays.append(Stay(begun[0], lane, begun[1], self._since(event.at)))
                case _:
                    pass
        for (node, _), (message, begin) in since.items():
            stays.append(Stay(message, self._lanes.get(node, -1), begin, self._end))
        return stays

    def _notices(self) -> list[Notice]:
        return [
            Notice(number, self._messages[event.body.about], describe(event, event.body.about))
            for number, event in enumerate(self._events)
            if isinstance(event.body, events.Bounced)
        ]

    def _shades(self) -> list[Shade]:
        open_faults: dict[str, tuple[float, events.LabFault]] = {}
        shades = []
        for event in self._events:
            match event.body:
                case events.LabFault(id=name) as fault:
                    open_faults[name] = (self._since(event.at), fault)
                case events.LabHealed(id=name) if name in open_faults:
                    shades.append(self._shade(*open_faults.pop(name), self._since(event.at)))
                case _:
                    pass
        return shades + [self._shade(*begun, None) for begun in open_faults.values()]

    def _shade(self, begin: float, fault: events.LabFault, end: float | None) -> Shade:
        lane = self._lanes.get(fault.node, -1)
        return Shade(fault.id, fault.fault, fault.node, lane, begin, end)

    def _account(self, unit: Unit) -> Account:
        copies = [f"{entry.address} at {node}" for node, entry in unit.copies]
        queued = [f"in the queue of {node}" for node in unit.queued]
        deleted = ["deleted by an operator"] if unit.deleted else []
        notes = [*queued, *unit.expunged, *unit.bounced, *deleted, *unit.unknowns]
        message = self._messages[unit.message]
        return Account(message, unit.recipient, unit.state, unit.owed, copies, notes)


def _messages(trace: Trace) -> list[str]:
    """Every message by the time of its first event."""
    return sorted(trace.messages(), key=lambda name: trace.of_message(name)[0].at)


def _fate(tried: events.Tried, unknown: bool) -> TryFate:
    if tried.stage == "skipped":
        return "skipped"
    if unknown:
        return "unknown"
    if tried.stage == "done" and tried.reply.startswith("2"):
        return "ok"
    return "refused" if tried.reply[:1] == "5" else "failed"
