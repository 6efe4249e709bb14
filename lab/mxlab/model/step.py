"""The steps of a scenario: one struct per step, named in a scenario file by its `key`.

A step is declared here once: loader, schema, lint and writer read its form in a file from here. The
Python API builds the same values.
"""

import typing
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar, Literal

import msgspec

from mxlab.model.condition import AnyCondition
from mxlab.model.duration import Seconds, format_duration
from mxlab.model.reference import Address, FaultId, Id, OneAddress, ReversePath
from mxlab.model.submitting import Submitting
from mxlab.model.topology import Domain, MailHost, NameServerHost, SenderHost, ZoneName
from mxlab_services.faults.base import Mechanism

Function = Annotated[str, msgspec.Meta(title="function")]  # file.py:function, module:function
SettingValue = int | float | str | list[str]  # what it may be, the node knows
HeaderField = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[!-9;-~]{1,70}[ \t]*:", description="a header field, as `X-Priority: 1`"
    ),
]
MailFile = Annotated[str, msgspec.Meta(title="mail file")]  # beside the scenario's file
Wish = Literal["never", "success", "failure", "delay"]  # RFC 3461 §4.1
Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all steps; `str()` of one is what the progress shows. Durations are lab seconds.
    `alone` names the field whose value is all that stands in a file, if one is."""

    key: ClassVar[str]
    alone: ClassVar[str] = ""


class Say(Step, frozen=True):
    """Tell the people who watch."""

    key = "say"
    alone = "text"
    text: str

    def __str__(self) -> str:
        return f"say: {self.text}"


class Ask(Step, frozen=True):
    """Ask the person at the terminal; skipped where nobody is there. Never changes a verdict."""

    key = "ask"
    question: str
    answer: str
    hint: str = ""

    def __str__(self) -> str:
        return f"ask: {self.question}"


class Send(Step, frozen=True, rename={"sender": "from", "recipients": "to"}):
    """Submit `count` messages through a client: the first, or `via`. `size` is bytes; `rate` is per
    real second.

    `sender` may be the null reverse-path, `<>`. `notify`: of what the sender wants to hear; `ret`:
    how much of the message a report of failure brings back (RFC 3461). `headers`: more fields, as
    `Name: text`. `eml`: a file with the whole message, in the place of size, subject and body.
    `submission`: by SMTP at the client's submission server, in the place of straight into its
    queue.
    """

    key = "send"
    id: Id
    sender: ReversePath
    recipients: OneAddress | tuple[Address, ...]
    count: Count = 1
    size: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = 0
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    subject: str = "mxlab test message"
    body: str = ""
    notify: Wish | tuple[Wish, ...] | None = None
    ret: Literal["full", "hdrs"] | None = None
    headers: tuple[HeaderField, ...] = ()
    eml: MailFile = ""
    via: SenderHost | None = None
    submission: Submitting | None = None

    @property
    def reverse_path(self) -> str:
        """The sender's address; empty for the null reverse-path."""
        return "" if self.sender == "<>" else self.sender

    @property
    def wishes(self) -> tuple[str, ...]:
        """Of what the sender wants to hear, also where one is given as a plain string."""
        return (self.notify,) if isinstance(self.notify, str) else self.notify or ()

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients, also where one is given as a plain string."""
        return (self.recipients,) if isinstance(self.recipients, str) else self.recipients

    def __str__(self) -> str:
        who = self.reverse_path or "<>"
        through = f" through {self.via}" if self.via else ""
        by = f", handed in {self.submission}" if self.submission else ""
        to = ", ".join(self.addresses)
        return f"send {self.id}: {self.count} from {who} to {to}{through}{by}"


class Fault(Step, frozen=True):
    """Break something, until it is healed or the run ends."""

    key = "fault"
    id: Id
    mechanism: Mechanism

    def __str__(self) -> str:
        return f"fault {self.id}: {self.mechanism}"


class Heal(Step, frozen=True):
    """Undo a fault."""

    key = "heal"
    alone = "fault"
    fault: FaultId

    def __str__(self) -> str:
        return f"heal {self.fault}"


class Wait(Step, frozen=True):
    """Let lab time pass."""

    key = "wait"
    alone = "seconds"
    seconds: Seconds

    def __str__(self) -> str:
        return f"wait {format_duration(self.seconds)}"


class Eventually(Step, frozen=True):
    """Go on as soon as the condition holds; fail if it does not within `within`."""

    key = "eventually"
    condition: AnyCondition
    within: Seconds

    def __str__(self) -> str:
        return f"eventually, within {format_duration(self.within)}: {self.condition}"


class Never(Step, frozen=True):
    """Watch for `during`; fail at once if the condition holds."""

    key = "never"
    condition: AnyCondition
    during: Seconds

    def __str__(self) -> str:
        return f"never, for {format_duration(self.during)}: {self.condition}"


class Etrn(Step, frozen=True):
    """A host asks another by SMTP to start its queue for a domain (RFC 1985), the lab's by default.

    Fails if the answer is not positive; or, with `reply`, if it is not just that code.
    """

    key = "etrn"
    host: MailHost
    asks: MailHost
    domain: Domain | None = None
    reply: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None

    def __str__(self) -> str:
        return f"etrn: {self.host} asks {self.asks} to start its queue"


class Dns(Step, frozen=True):
    """Change a zone: remove, then add records (a line of zone text each), or put `zone` in its
    place. `origin` is the lab's domain unless given, `server` the zone's primary. It is a change,
    not a fault: nothing heals it. `{mx1}` stands for the address of a host. `ttl` is that of what
    is added; with nothing to add or to remove, that of all that is there.
    """

    key = "dns"
    origin: ZoneName | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    zone: str | None = None
    ttl: Seconds | None = None
    server: NameServerHost | None = None

    def misfit(self) -> str:
        """What no type can tell of its fields; nothing where they fit together."""
        if self.ttl is None:
            return ""
        if self.zone is not None:
            return "the text of a zone says its own TTLs ($TTL 300)"
        return "" if self.ttl == int(self.ttl) else "a TTL is whole seconds (RFC 1035 §3.2.1)"

    def __str__(self) -> str:
        at = f" at {self.server}" if self.server else ""
        if self.zone is not None:
            return f"dns{at}: a new zone"
        changes = [f"-{line}" for line in self.remove] + [f"+{line}" for line in self.add]
        ttl = [f"TTL {format_duration(self.ttl)}"] if self.ttl is not None else []
        return f"dns{at}: {'; '.join([*changes, *ttl])}"


class Config(Step, frozen=True, rename={"settings": "set"}):
    """Change settings of a host that runs, all of them or none, until the run ends. It is an
    operator's act, not a fault: nothing heals it, a restart of the host neither, and what it was
    before can be set again."""

    key = "config"
    host: MailHost
    settings: Annotated[dict[str, SettingValue], msgspec.Meta(min_length=1)]

    def __str__(self) -> str:
        said = ", ".join(f"{key} = {_said(value)}" for key, value in self.settings.items())
        return f"config {self.host}: {said}"


def _said(value: SettingValue) -> str:
    return ",".join(value) if isinstance(value, list) else str(value)


class Python(Step, frozen=True):
    """Await a function of one argument, the lab: `file.py:function` beside the scenario file, or
    `module:function`, or `call` itself where the scenario was built in Python."""

    key = "python"
    alone = "target"
    target: Function
    call: Callable[[Any], Awaitable[None]] | None = None

    def __str__(self) -> str:
        return f"python: {self.target}"


class Parallel(Step, frozen=True):
    """Run steps side by side; done when all are."""

    key = "parallel"
    alone = "steps"
    steps: tuple["AnyStep", ...]

    def __str__(self) -> str:
        return f"at the same time: {', '.join(step.key for step in self.steps)}"


AnyStep = (
    Say | Ask | Send | Fault | Heal | Wait | Eventually | Never | Parallel | Etrn | Dns | Config
    | Python
)  # fmt: skip
STEPS: dict[str, type[AnyStep]] = {kind.key: kind for kind in typing.get_args(AnyStep)}
