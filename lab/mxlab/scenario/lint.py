"""What no reader of a scenario file would refuse and an author would regret: steps that can never
happen, expectations that nothing can violate, faults that a world cannot do.

It says only what is certain: where a `python`, `dns` or `config` step may have changed things,
nothing.

Long: one walk, whose remarks rest on what it has passed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mxlab.backends.base import Backend
from mxlab.errors import Unsupported
from mxlab.faults import refuse_unsupported
from mxlab.model.condition import (
    AnyCondition,
    Bounced,
    Deferred,
    Delivered,
    Queue,
    Replied,
    Retries,
    batch_of,
)
from mxlab.model.mechanism import MECHANISMS, STRIKING, Kill, Pause, Stop
from mxlab.model.scenario import (
    Problem,
    Scenario,
    StepPath,
    fault_kinds,
    steps_path,
    walk,
)
from mxlab.model.step import (
    AnyStep,
    Config,
    Dns,
    Etrn,
    Eventually,
    Fault,
    Heal,
    Never,
    Python,
    Send,
    Wait,
)
from mxlab.scenario.functions import missing_functions
from mxlab.scenario.impossible import at_once, impossible
from mxlab.scenario.load import Survey
from mxlab.scenario.mailfile import mail_problems
from mxlab.scenario.refusal import refuse_software
from mxlab.scenario.sound import unsound
from mxlab.scenario.zones import zone_problems
from mxlab_services.address import domain_of
from mxlab_services.domain import fold_domain

Level = Literal["error", "warning", "note"]
Place = tuple[str | int, ...]
HOLDING = (Kill, Stop, Pause)  # the whole node does nothing more
NEVER = "it can never happen"
_HOLDS_FOR_GOOD = {
    "queues-empty": (Queue, Deferred),
    "all-delivered": (Deferred,),
    "nothing-bounced": (Bounced,),
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to say of a scenario. A `note` is for information, a `warning` is of what may turn
    out otherwise than it is meant, an `error` is to be mended."""

    problem: Problem
    level: Level = "error"


def remarks(scenario: Scenario, backends: Sequence[Backend]) -> list[Remark]:
    """All that is to be said, in the order of the file where it has one."""
    wrong = (*unsound(scenario), *zone_problems(scenario))
    return [Remark(problem) for problem in wrong] + _regrets(scenario, backends)


def survey_remarks(found: Survey, backends: Sequence[Backend]) -> list[Remark]:
    """All that is to be said of those parts of a file that could be read."""
    said = [Remark(problem) for problem in found.problems()]
    if found.scenario is not None and found.lab_known:
        said += _regrets(found.scenario, backends)
    return said


def _regrets(scenario: Scenario, backends: Sequence[Backend]) -> list[Remark]:
    found = list(_Walk(scenario).remarks())
    found += map(Remark, missing_functions(scenario))
    found += [Remark(wrong.problem) for wrong in mail_problems(scenario)]
    found += _expectations(scenario)
    found += _backends(scenario, backends)
    return found


class _Walk:
    """What is known for certain at each step of the story."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._open: dict[str, tuple[Fault, StepPath]] = {}
        self._healed: dict[str, StepPath] = {}
        self._sent: dict[str, Send] = {}
        self._up: dict[str, frozenset[str]] = {}  # batch -> hosts that may have met it
        self._free = False  # a step of the author's own may have changed anything
        self._held_before: Mapping[str, Fault] = {}  # when the top-level step began
        self._unmet: dict[str, StepPath] = {}  # faults since which nothing was awaited

    def remarks(self) -> Iterator[Remark]:
        for path, step in walk(self._scenario.steps):
            where = (*steps_path(path), step.key)
            if len(path) == 1:
                self._held_before = self._held()
            if isinstance(step, Wait | Eventually | Never | Etrn | Python) or _awaits(step):
                self._unmet.clear()
            match step:
                case Python() | Dns() | Config():
                    self._free = True
                case Fault():
                    yield from self._fault(where, path, step)
                case Heal(fault=name):
                    yield from self._heal(where, path, name)
                case Send():
                    yield from self._send(where, path, step)
                case Wait(seconds=0):
                    yield _error(where, "waits for no time at all")
                case Never(during=0):
                    yield _error((*where, "during"), "no time: nothing can violate it")
                case Never(condition=condition):
                    place = (*where, condition.key)
                    yield from self._nowhere(place, condition, "nothing can violate it")
                case Eventually(condition=condition):
                    place = (*where, condition.key)
                    found = [
                        *self._nowhere(place, condition, NEVER),
                        *self._out_of_reach(place, path, condition),
                    ]
                    yield from found[:1]
                case _:
                    pass
        for name, path in self._unmet.items():
            where = (*steps_path(path), "fault")
            yield self._too_soon(
                where, name, "after it nothing is awaited: the run heals it at once"
            )

    def _held(self) -> Mapping[str, Fault]:
        """Host -> the fault that keeps the whole of it from doing anything."""
        faults = [fault for fault, _ in self._open.values()]
        return {f.mechanism.host: f for f in faults if isinstance(f.mechanism, HOLDING)}

    def _line(self, path: StepPath) -> str:
        origin = self._scenario.origin
        number = ".".join(str(part + 1) for part in path)
        return f"line {origin.lines[path]}" if origin and path in origin.lines else f"step {number}"

    def _fault(self, where: Place, path: StepPath, step: Fault) -> Iterator[Remark]:
        host, holder = step.mechanism.host, self._held_before.get(step.mechanism.host)
        dead = holder is not None and isinstance(holder.mechanism, Kill | Stop)
        if holder and dead and isinstance(step.mechanism, HOLDING) and self._certain(path):
            since = self._line(self._open[holder.id][1])
            text = f"{host} is down already, since {since} ({holder.id}): it can not go down again"
            yield _error((*where, step.mechanism.kind), text)
        self._open[step.id] = step, path
        if len(path) == 1 and not isinstance(step.mechanism, Kill | Stop):  # these are done by now
            self._unmet[step.id] = path

    def _too_soon(self, where: Place, name: str, text: str) -> Remark:
        striking = self._open[name][0].mechanism.kind in STRIKING
        wait = f"struck: {name}" if striking else "delivered: ..., queue: ... or deferred: ..."
        hint = f"wait for what it does: eventually: {{within: 5m, {wait}}}"
        return Remark(
            Problem(where, f"{text}, perhaps before it met anything", hint=hint), "warning"
        )

    def _heal(self, where: Place, path: StepPath, name: str) -> Iterator[Remark]:
        if name in self._healed:
            since = self._line(self._healed[name])
            yield _error(where, f"{name} is healed already, in {since}: nothing is left to heal")
        elif name in self._open:
            if name in self._unmet and len(path) > 1:
                del self._unmet[name]  # what stands beside it may be what is awaited
            elif name in self._unmet:
                since = self._line(self._unmet.pop(name))
                text = f"nothing is awaited between {since} and here: {name} is healed at once"
                yield self._too_soon(where, name, text)
            fault, _ = self._open.pop(name)
            self._healed[name] = path
            self._up = {batch: up | {fault.mechanism.host} for batch, up in self._up.items()}

    def _send(self, where: Place, path: StepPath, step: Send) -> Iterator[Remark]:
        held, client = self._held(), step.via or self._scenario.topology.client
        if client in held and self._certain(path):
            yield _error(where, f"{client} is down ({held[client].id}): nobody is there to send it")
        down = held.keys() & self._held_before.keys()
        self._sent[step.id] = step
        self._up[step.id] = frozenset(self._scenario.topology.hosts) - down

    def _certain(self, path: StepPath) -> bool:
        """Whether what was found so far is what is so: not beside other steps."""
        return len(path) == 1 and not self._free

    def _nowhere(self, place: Place, condition: AnyCondition, verdict: str) -> Iterator[Remark]:
        if isinstance(condition, Queue):
            if condition.host in self._scenario.topology.dns_hosts:
                yield _error(place, f"{condition.host} has no queue: {verdict}")
            elif (condition.count or condition.at_least) and not self._sent and not self._free:
                yield _error(place, f"no mail was sent before: {verdict}")

        yield from map(Remark, at_once(condition, place))
        for problem in impossible(condition, self._scenario.topology, place):
            yield Remark(replace(problem, text=f"{problem.text}: {verdict}"))

    def _out_of_reach(
        self, place: Place, path: StepPath, condition: AnyCondition
    ) -> Iterator[Remark]:
        batch, topology = batch_of(condition), self._scenario.topology
        if batch is None or batch not in self._sent or not self._certain(path):
            return
        up, how = self._up[batch], self._sent[batch].submission
        match condition:
            case Queue() | Delivered() | Bounced() | Deferred() | Retries() if how and how.refused:
                yield _error(place, f"all of {batch} is to be refused with {how.refused}: {NEVER}")
            case Queue(host=host) if host in topology.hosts and host not in up:
                yield _error(place, f"{host} is down since before {batch} was sent: {NEVER}")
            case Replied(host=host, count=None) if host in topology.hosts and host not in up:
                yield _error(place, f"{host} is down since before {batch} was sent: {NEVER}")
            case Delivered():
                to = {domain_of(address) for address in self._sent[batch].addresses}
                for domain in topology.mail_domains:
                    if not set(domain.primaries) & up and fold_domain(domain.domain) in to:
                        hosts = ", ".join(domain.primaries)
                        yield _error(place, f"{hosts}: down since before {batch} was sent: {NEVER}")
            case _:
                pass


def _awaits(step: AnyStep) -> bool:
    """Whether the step is over only when a server has answered."""
    return isinstance(step, Send) and step.submission is not None


def _expectations(scenario: Scenario) -> Iterator[Remark]:
    steps = [step for _, step in walk(scenario.steps)]
    if not any(isinstance(step, Send | Python) for step in steps):
        text = "nothing is sent, so nothing can violate what is expected: every run is inconclusive"
        yield _error(("expect",), text)
    names = [item for item in scenario.expect if isinstance(item, str)]
    backups = any(domain.backups for domain in scenario.topology.mail_domains)
    for number, item in enumerate(scenario.expect):
        place: Place = ("expect", number)
        if item in scenario.expect[:number]:
            yield _error(place, "the same stands here twice")
        elif item == "queued-at-backup" and not backups:
            yield _error(place, "there is no backup: it can never hold")
        elif never := _never(item, scenario, place):
            yield from map(Remark, never)
        elif isinstance(item, Queue) and item.host in scenario.topology.dns_hosts:
            yield _error(place, f"{item.host} has no queue: nothing can violate it, nor hold it")
        elif not isinstance(item, str) and not (isinstance(item, Queue) and item.count == 0):
            for name in names:
                if isinstance(item, _HOLDS_FOR_GOOD.get(name, ())):
                    yield _error(place, f"it cannot hold together with {name}")


def _never(item: str | AnyCondition, scenario: Scenario, place: Place) -> list[Problem]:
    if isinstance(item, str):
        return []
    return list(impossible(item, scenario.topology, (*place, item.key)))


def _backends(scenario: Scenario, every: Sequence[Backend]) -> Iterator[Remark]:
    backends = [w for w in every if not scenario.backends or w.name in scenario.backends]
    for kind in fault_kinds(scenario):
        if kind not in MECHANISMS:
            continue
        reasons = {
            backend.name: reason
            for backend in backends
            if (reason := unsupported(backend, (kind,)))
        }
        place, wish = _place_of(scenario, kind), scenario.backend
        if reasons and len(reasons) == len(backends):
            yield _error(place, f"no world can do it: {'; '.join(reasons.values())}")
        elif wish in reasons:
            yield _error(place, f"the scenario asks for the {wish} backend: {reasons[wish]}")
        elif reasons:
            yield Remark(Problem(place, "; ".join(reasons.values())), "note")
    lacking = {
        backend.name: reason
        for backend in backends
        if (reason := without_products(backend, scenario))
    }
    if scenario.backend in lacking:
        text = f"the scenario asks for the {scenario.backend} backend: {lacking[scenario.backend]}"
        yield _error(("topology",), text)
    elif lacking and len(lacking) == len(backends):
        yield _error(("topology",), f"no world can do it: {'; '.join(lacking.values())}")
    elif lacking:
        yield Remark(Problem(("topology",), "; ".join(lacking.values())), "note")


def unsupported(backend: Backend, kinds: tuple[str, ...]) -> str:
    """Why `world` cannot do one of these kinds of faults, as far as it knows; or nothing."""
    try:
        refuse_unsupported(backend, kinds)
    except Unsupported as error:
        return str(error)
    return ""


def without_products(backend: Backend, scenario: Scenario) -> str:
    """Why the backend cannot do with the mail servers that the lab wants; or nothing."""
    try:
        refuse_software(scenario, backend)
    except Unsupported as error:
        return str(error)
    return ""


def _place_of(scenario: Scenario, kind: str) -> Place:
    for path, step in walk(scenario.steps):
        if isinstance(step, Fault) and step.mechanism.kind == kind:
            return (*steps_path(path), "fault", kind)
    return ("needs", scenario.needs.index(kind))


def _error(place: Place, text: str) -> Remark:
    return Remark(Problem(place, text))
