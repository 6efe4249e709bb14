"""What the runner tells while it works. Values only: how they look is the caller's affair."""

from collections.abc import Callable
from dataclasses import dataclass, field

from mxlab.model.finding import Finding
from mxlab.model.step import Ask


@dataclass(frozen=True, slots=True)
class Phase:
    """A phase begins: deploy, heal, drain, collect, judge, undo; or news of one."""

    text: str


@dataclass(frozen=True, slots=True)
class StepBegan:
    """Step `number` of `total` (from 1) begins; `say` is set where it only speaks to people."""

    number: int
    total: int
    text: str
    say: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """The run waits for `text` for at most `seconds` of lab time, which take `real` seconds."""

    text: str
    seconds: float
    real: float


@dataclass(frozen=True, slots=True)
class Seen:
    """What a wait sees now: how far it is, and how many messages each queue holds."""

    text: str
    queues: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Asked:
    """A question was answered; `right` says whether as the scenario's author would."""

    ask: Ask
    answer: str
    right: bool


@dataclass(frozen=True, slots=True)
class Judged:
    """An expectation was judged."""

    finding: Finding


Update = Phase | StepBegan | Waiting | Seen | Asked | Judged
Report = Callable[[Update], None]
