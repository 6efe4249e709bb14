"""What the API returns, beside what other rooms have already."""

from typing import Any, Literal

import msgspec

from mxlab.board.endpoint import BoardKind
from mxlab.board.letter import LetterView
from mxlab.board.mailbag import MessageView
from mxlab.board.recorded import MarkView
from mxlab_services.control.replies import QueueEntry, Setting, SubmittedMessage, ZoneReport


class Trouble(msgspec.Struct, frozen=True):
    """What went wrong, and what to do next (empty: nothing is known)."""

    error: str
    hint: str = ""


class DoneView(msgspec.Struct, frozen=True):
    """It is done."""

    done: bool = True


class NodeStateView(msgspec.Struct, frozen=True):
    """A node's state."""

    node: str
    state: Literal["running", "paused", "stopped"]


class SettingsView(msgspec.Struct, frozen=True):
    """A node's settings."""

    node: str
    settings: list[Setting]


class LogView(msgspec.Struct, frozen=True):
    """Lines of a log, oldest first; control characters are shown as text."""

    node: str
    lines: list[str]


class QueueView(msgspec.Struct, frozen=True):
    """What waits at a node. `stopped`: it is down, and this is its disk as it was left."""

    node: str
    entries: list[QueueEntry]
    stopped: bool = False
    problem: str = ""


class CountView(msgspec.Struct, frozen=True):
    """How many messages it concerned, by node."""

    messages: dict[str, int]


class FaultView(msgspec.Struct, frozen=True):
    """Something that is broken. `struck`: how often, where that is counted."""

    id: str
    host: str
    kind: str
    parameters: dict[str, Any] = {}
    struck: int | None = None


class KindView(msgspec.Struct, frozen=True):
    """A kind of fault, and what it takes beside the host: name -> its type in words."""

    kind: str
    summary: str
    parameters: dict[str, str]


class SentView(msgspec.Struct, frozen=True):
    """What the client took."""

    messages: list[SubmittedMessage]


class MessagesView(msgspec.Struct, frozen=True):
    """Messages, the newest first: a part of the `total` that fit."""

    total: int
    messages: list[MessageView]


class MessageDetail(msgspec.Struct, frozen=True):
    """A delivered message and what is in it. `missing`: why that cannot be shown: the letter is
    empty then."""

    message: MessageView
    letter: LetterView
    missing: str = ""


class MailboxCount(msgspec.Struct, frozen=True):
    """So many messages were delivered to a mailbox at a node."""

    node: str
    mailbox: str
    messages: int


class ReplayState(msgspec.Struct, frozen=True):
    """How far a replay is. `position` and `length`: lab seconds since the run's first event;
    `speed`: lab seconds in a real one."""

    position: float
    length: float
    speed: float
    playing: bool
    ended: bool


class ReplayView(msgspec.Struct, frozen=True):
    """A replay. `begin`: lab time of the first event. `letters`: whether messages can be read, and
    `damage`: in what the recording is not whole. `verdict` and `findings` of the run come with its
    end: null and none before."""

    state: ReplayState
    run: str
    backend: str
    seed: int
    title: str
    summary: str
    begin: float
    events: int
    marks: list[MarkView]
    letters: bool
    damage: list[str]
    verdict: Literal["pass", "fail", "unknown"] | None
    findings: list["FindingView"]


class BoardView(msgspec.Struct, frozen=True):
    """What a board is of: a lab, or a replay of a run."""

    kind: BoardKind
    name: str
    up: bool
    replay: ReplayState | None


class DeletedView(msgspec.Struct, frozen=True):
    """How many were taken off the list."""

    deleted: int


class BiographyView(msgspec.Struct, frozen=True):
    """A message's story in words, each line with the time since it began and the node; and its
    notifications' Message-IDs."""

    message: str
    lines: list[str]
    notifications: list[str]


class ZonesView(msgspec.Struct, frozen=True):
    """Zones, each with the name server that has it; and what name servers said that are silent."""

    zones: list["ZoneAt"]
    silent: list[str]


class ZoneAt(msgspec.Struct, frozen=True):
    """A zone at a name server."""

    node: str
    zone: ZoneReport


class WaitedView(msgspec.Struct, frozen=True):
    """Whether the condition came to hold, what was seen, and why not as far as is known."""

    holds: bool
    seen: str
    reasons: list[str]


class VerdictsView(msgspec.Struct, frozen=True):
    """What the checks say of all that happened so far."""

    verdict: Literal["pass", "fail", "unknown"]
    findings: list["FindingView"]
    moving: bool


class FindingView(msgspec.Struct, frozen=True):
    """One check and what came of it."""

    check: str
    verdict: Literal["pass", "fail", "unknown"]
    text: str
    details: list[str]


class ClockView(msgspec.Struct, frozen=True):
    """Lab time, seconds since the Unix epoch; `scale`: lab seconds in a real one."""

    lab_time: float
    scale: float


class FigureView(msgspec.Struct, frozen=True):
    """Figures since the lab came up: queues now, totals, replies by code, and all over lab time."""

    depth: dict[str, int]
    totals: dict[str, int]
    replies: dict[str, int]
    seconds: float
    steps: list[dict[str, Any]]


class TerminalsView(msgspec.Struct, frozen=True):
    """Whether this board has terminals, and the names of those that are open."""

    enabled: bool
    open: list[str]
