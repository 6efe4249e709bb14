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
    """Step `number` of `total` (from 1) begins; `say` is set where it only speaks to people, and
    then its end is not told."""

    number: int
    total: int
    text: str
    say: str | None = None


@dataclass(frozen=True, slots=True)
class StepEnded:
    """Step `number` of `total` is over, after `seconds` of lab time, which took `real` seconds;
    `failure` says why it did not come out as the scenario says, or is empty."""

    number: int
    total: int
    seconds: float
    real: float
    failure: str = ""


@dataclass(frozen=True, slots=True)
class WaitBegan:
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
class NotAsked:
    """A question was passed over, since there is nobody to ask."""

    ask: Ask


@dataclass(frozen=True, slots=True)
class Interrupted:
    """The run was interrupted. Until then: `done` steps of `total`, and of the messages that were
    sent, counted for each recipient, what became of them; `queues` as in Seen."""

    done: int
    total: int
    sent: int
    delivered: int
    bounced: int
    queues: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Gone:
    """The lab is gone, all of it."""

    lab: str


@dataclass(frozen=True, slots=True)
class Judged:
    """An expectation was judged."""

    finding: Finding


Update = (
    Phase
    | StepBegan
    | StepEnded
    | WaitBegan
    | Seen
    | Asked
    | NotAsked
    | Interrupted
    | Gone
    | Judged
)
Report = Callable[[Update], None]


def silent(_: object) -> None:
    """Progress that nobody wants to hear of."""
