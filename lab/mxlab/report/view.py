"""The shape in which a run reaches its page: lanes, tries from hop to hop, queues, faults, ledger.

Times are lab seconds since the first event. What comes in thousands travels as short arrays; a
number that stands for a node or a message is its place in `lanes` or `messages`, -1 for none.
"""

from typing import Literal

import msgspec

from mxlab.model.finding import Finding, Verdict

TryFate = Literal["ok", "refused", "failed", "unknown", "skipped"]


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One event, in words."""

    at: float
    lane: int
    kind: str
    message: int
    text: str


class Try(msgspec.Struct, frozen=True, array_like=True):
    """Node `lane` tried the host of lane `to`; `event` is its row."""

    event: int
    message: int
    lane: int
    to: int
    begin: float
    end: float
    fate: TryFate
    host: str
    dialog: list[str]


class Stay(msgspec.Struct, frozen=True, array_like=True):
    """A message waited in a node's queue."""

    message: int
    lane: int
    begin: float
    end: float


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """The event `event` also belongs to the story of `about`, where it reads so."""

    event: int
    about: int
    text: str


class NodeLane(msgspec.Struct, frozen=True):
    """A node. `depth`: (time, messages in its queue) at each change."""

    name: str
    role: str
    depth: list[tuple[float, int]]


class Shade(msgspec.Struct, frozen=True):
    """A fault was in effect. `lane` -1: at no single node; `end` None: it was never healed."""

    id: str
    fault: str
    node: str
    lane: int
    begin: float
    end: float | None


class StepBegin(msgspec.Struct, frozen=True):
    """A step of the scenario began."""

    at: float
    index: int
    text: str


class Account(msgspec.Struct, frozen=True):
    """One unit of the ledger: a message for one recipient."""

    message: int
    recipient: str
    state: str
    owed: list[str]
    copies: list[str]
    notes: list[str]


class View(msgspec.Struct, frozen=True, kw_only=True):
    """All that a page shows of one run."""

    scenario: str
    title: str
    summary: str
    backend: str
    run: str
    seed: int
    time_scale: float
    verdict: Verdict
    replay: str
    lab_seconds: float
    real_seconds: float
    submitted: int
    findings: tuple[Finding, ...]
    gaps: tuple[str, ...]
    end: float
    lanes: list[NodeLane]
    messages: list[str]
    rows: list[Row]
    tries: list[Try]
    stays: list[Stay]
    notices: list[Notice]
    shades: list[Shade]
    steps: list[StepBegin]
    ledger: list[Account]
