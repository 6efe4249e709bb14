"""What the API takes: a struct for each form."""

from typing import Annotated, Any, Literal

import msgspec

SLOWEST, FASTEST = 0.001, 1e8  # lab seconds in a real one
NodeAction = Literal["start", "stop", "kill", "pause", "resume"]
Page = Annotated[int, msgspec.Meta(ge=1, le=1000, description="so many at a time")]
Start = Annotated[int, msgspec.Meta(ge=0, le=10_000_000, description="how many to pass over")]
Word = Annotated[str, msgspec.Meta(max_length=1000)]
_SOME = "(SUCCESS|FAILURE|DELAY)"
Notify = Annotated[str, msgspec.Meta(pattern=f"^(NEVER|{_SOME}(,{_SOME})*)?$")]  # RFC 3461 §4.1
Speed = Annotated[float, msgspec.Meta(ge=SLOWEST, le=FASTEST, description="lab s a real s")]
Seconds = Annotated[float, msgspec.Meta(ge=0, le=3600, description="real seconds")]


class NodeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node by its name."""

    node: Word


class NodeActWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node, and what is to be done with it."""

    node: Word
    action: NodeAction


class SettingsWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a running node to change, by key, all or none of them."""

    node: Word
    set: Annotated[dict[str, str | int | float | bool | list[str]], msgspec.Meta(min_length=1)]


class LogWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last lines of a node's log."""

    node: Word
    lines: Page = 100


class RecentWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The last events: of a node, or of all."""

    node: Word = ""
    count: Page = 200


class PlayWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How fast: `speed` lab seconds in a real one, or all of the run in `whole` real seconds;
    neither: as before."""

    speed: Speed | None = None
    whole: Annotated[float, msgspec.Meta(gt=0, le=86_400, description="real seconds")] | None = None


class SeekWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A moment: lab seconds since the run's first event."""

    to: Annotated[float, msgspec.Meta(ge=0, le=1e10, description="lab seconds")]


class FlushWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to try now: at `node` or everywhere, all of it, or what waits for `site`, or one."""

    node: Word = ""
    site: Word = ""
    queue_id: Word = ""


class EditWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to do with messages in a node's queue; the id ALL means all of them."""

    node: Word
    action: Literal["hold", "release", "requeue", "delete", "expire"]
    queue_ids: Annotated[list[Word], msgspec.Meta(min_length=1, max_length=10_000)]


class FaultWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A fault: its kind (`kinds` lists them), the host, and its parameters as in a scenario; `id`
    names it, else it gets a name."""

    kind: Word
    host: Word
    parameters: dict[str, Any] = {}
    id: Word | None = None


class IdWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One thing by its id."""

    id: Word


class SendWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Mail to send from a client: `via`, or the first. `sender` empty: alice of the client; `<>`:
    the null reverse-path. `raw`: the message whole, in the place of subject, body, headers, size.
    """

    to: Annotated[list[Word], msgspec.Meta(min_length=1, max_length=100)]
    sender: Word = ""
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1
    subject: Word = "mxlab test message"
    body: Annotated[str, msgspec.Meta(max_length=1_000_000)] = ""
    headers: Annotated[list[Word], msgspec.Meta(max_length=100)] = []
    size: Annotated[int, msgspec.Meta(ge=0, le=10_000_000)] = 0
    raw: Annotated[str, msgspec.Meta(max_length=10_000_000)] = ""
    via: Word = ""
    batch: Annotated[str, msgspec.Meta(pattern=r"^([a-z][a-z0-9_-]{0,40})?$")] = ""
    notify: Notify = ""


class MessagesWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which delivered messages: every word of `query` stands in sender, recipient, subject or
    Message-ID; `mailbox` is an address; `wait`: if there is none, wait so long for one."""

    query: Word = ""
    mailbox: Word = ""
    to: Word = ""
    sender: Word = ""
    subject: Word = ""
    start: Start = 0
    limit: Page = 50
    wait: Seconds = 0.0


class DeleteWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which to take off the list: those of a mailbox, or all."""

    mailbox: Word = ""


class PartWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One part of a message."""

    id: Word
    number: Annotated[int, msgspec.Meta(ge=0, le=10_000)]


class TraceWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which message: its Message-ID, queue id, batch, an address, its subject, or `last`."""

    message: Word
    dialog: bool = False


class DigWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question to a DNS server: `server` is a node, else the client's resolver asks."""

    name: Word
    type: Word = "A"
    server: Word = ""
    tcp: bool = False
    trace: bool = False


class RouteWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where mail to an address would go, from a node or the client."""

    address: Word
    node: Word = ""


class ZoneWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Zone text (RFC 1035 §5) in the place of a zone."""

    origin: Word
    text: Annotated[str, msgspec.Meta(max_length=1_000_000)]


class RecordWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of zone text to add to, or to remove from, the zone that holds its name."""

    record: Annotated[str, msgspec.Meta(max_length=10_000)]
    action: Literal["add", "remove"]


class WaitWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A condition, as a scenario has it (`{"delivered": "batch"}`), and how long to wait for it,
    in real seconds."""

    condition: Annotated[dict[str, Any], msgspec.Meta(min_length=1, max_length=1)]
    within: Annotated[float, msgspec.Meta(ge=0, le=600)] = 10.0


class JudgeWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Checks by name, separated by commas; none: what holds in every lab."""

    checks: Word = ""


class StartWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An exercise by its id, for the seat of that `seed`; none: the seat that one had, or any."""

    id: Word
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] | None = None


class CheckWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was answered, where the task is a question."""

    answer: Annotated[str, msgspec.Meta(max_length=10_000)] | None = None


class ResetWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`task`: the present task only; those before it stay done."""

    task: bool = False


class TerminalWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A terminal by its name."""

    name: Word
