"""An exercise, as one seat has it: a lab brought to a state, and tasks that the lab itself checks.

Frozen values, names and numbers drawn already. How they stand in a file and are drawn for a seat:
`mxlab.exercise`; how a lab is checked: `mxlab.learn`.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

import msgspec

from mxlab.model.answer import AnyQuestion
from mxlab.model.condition import AnyCondition
from mxlab.model.goal import Wishes
from mxlab.model.reference import Id
from mxlab.model.scenario import BackendName, Scenario, SourceFile
from mxlab.model.step import AnyStep
from mxlab.model.topology import Topology

Vary = Literal["domain", "hosts", "preferences", "recipients", "counts"]
Track = Literal["address-book", "store-and-forward", "when-it-goes-wrong", "running-a-backup"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2000)]
Commands = tuple[Annotated[str, msgspec.Meta(min_length=1, max_length=500)], ...]


class NumberRange(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"least": "from", "most": "to"}
):
    """A whole number to draw, both ends included."""

    least: int
    most: int


Draws = dict[
    str, tuple[str | int, ...] | NumberRange
]  # a name of the author's own -> what it may be


class Hint(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Said on request, one by one; with `when` while the lab is so, before those without."""

    text: Text
    when: Wishes = ()


class Wrong(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A way that many go: commands, or an answer that they give. `text` says why it leads nowhere,
    where a check fails and the lab is as in `when`, or, with none, where anything was done."""

    text: Text
    do: Commands = ()
    answer: str = ""
    when: Wishes = ()


class TaskKind(msgspec.Struct, frozen=True):
    """What makes a task done. `key` names the kind in a file."""

    key: ClassVar[str]


class AnswerTask(TaskKind, frozen=True):
    """The answer to a question about the lab as it is now."""

    key = "answer"
    question: AnyQuestion


class PredictTask(TaskKind, frozen=True, forbid_unknown_fields=True):
    """A guess, asked before and never wrong: what is true is shown, and compared, when the task
    `after` is done, or where none is named at once."""

    key = "predict"
    question: Text
    answer: AnyQuestion
    after: Id | None = None


class DoneTask(TaskKind, frozen=True):
    """What holds now, all of it."""

    key = "done"
    wishes: Wishes


class NeverTask(TaskKind, frozen=True):
    """What must not have come to hold at any time since the exercise began; kept when all else is
    done."""

    key = "never"
    wishes: Wishes


class ProveTask(TaskKind, frozen=True, forbid_unknown_fields=True):
    """Steps that are played on the lab as the student left it, and what is expected of the mail
    that they sent: the proof of a repair. What they broke is healed after."""

    key = "prove"
    steps: tuple[AnyStep, ...]
    expect: tuple[str | AnyCondition, ...]


AnyTask = AnswerTask | PredictTask | DoneTask | NeverTask | ProveTask
KINDS: dict[str, type[AnyTask]] = {
    kind.key: kind for kind in (AnswerTask, PredictTask, DoneTask, NeverTask, ProveTask)
}


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One task. `solution` are commands that lead there (of a question: where the answer can be
    seen). `same`: the answer is the same in every seat, on purpose. `line`: where it stands."""

    id: Id
    text: str
    judged: AnyTask
    hints: tuple[Hint, ...] = ()
    solution: Commands = ()
    wrong: tuple[Wrong, ...] = ()
    same: bool = False
    line: int = 0


class Finish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all that happened must be like in the end, and a last word."""

    expect: tuple[str | AnyCondition, ...] = ()
    text: str = ""


class Teacher(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For who teaches: what students get wrong, and what to ask next."""

    mistakes: Text
    ask: Text


class Exercise(msgspec.Struct, frozen=True, kw_only=True, rename={"title": "exercise"}):
    """An exercise for the seat with that `seed`; `values` are what was drawn, by name. `terms` are
    glossary entries; `part` its place in the `track`. `backends`: as of a scenario."""

    title: str
    minutes: Annotated[int, msgspec.Meta(ge=1, le=240)]
    tasks: tuple[Task, ...]
    summary: str = ""
    track: Track | None = None
    part: Annotated[int, msgspec.Meta(ge=1, le=99)] = 1
    terms: tuple[str, ...] = ()
    teacher: Teacher | None = None
    topology: Topology = Topology()
    vary: tuple[Vary, ...] = ()
    draw: Draws = {}
    time_scale: Annotated[float, msgspec.Meta(ge=0.001, le=1000)] = 1.0
    backends: tuple[BackendName, ...] = ()
    setup: tuple[AnyStep, ...] = ()
    finish: Finish = Finish()
    seed: int = 0
    values: Mapping[str, str] = {}
    id: str = ""
    origin: SourceFile | None = None

    def task(self, name: str) -> Task | None:
        """The task of that id, if there is one."""
        return next((task for task in self.tasks if task.id == name), None)

    def story(self, steps: tuple[AnyStep, ...] | None = None) -> Scenario:
        """Its setup, or those `steps`, as a story in its lab. Lines of errors are the setup's."""
        return Scenario(
            title=self.title, steps=self.setup if steps is None else steps, expect=(),
            topology=self.topology, seed=self.seed, time_scale=self.time_scale,
            backends=self.backends, id=self.id, origin=self.origin if steps is None else None,
        )  # fmt: skip
