"""The steps of a scenario: one struct per step, named in a scenario file by its `key`.

The Python API builds the same values that the loader reads from YAML.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, ClassVar

import msgspec

from mxlab.model.condition import Address, AnyCondition, Id
from mxlab.model.duration import format_duration
from mxlab.model.mechanism import Mechanism
from mxlab.model.topology import Domain, Host, Origin

Count = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


class Step(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all steps; `str()` of one is what the progress shows. Durations are lab seconds."""

    key: ClassVar[str]


class Say(Step, frozen=True):
    """Tell the people who watch."""

    key = "say"
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
    """Submit `count` messages through the client. `size` is bytes; `rate` is per real second."""

    key = "send"
    id: Id
    sender: Address
    recipients: Address | tuple[Address, ...]
    count: Count = 1
    size: Annotated[int, msgspec.Meta(ge=0, le=100_000_000)] = 0
    rate: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    concurrency: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 10
    subject: str = "mxlab test message"
    body: str = ""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The recipients, also where one is given as a plain string."""
        return (self.recipients,) if isinstance(self.recipients, str) else self.recipients

    def __str__(self) -> str:
        return f"send {self.id}: {self.count} from {self.sender} to {', '.join(self.addresses)}"


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
    fault: Id

    def __str__(self) -> str:
        return f"heal {self.fault}"


class Wait(Step, frozen=True):
    """Let lab time pass."""

    key = "wait"
    seconds: float

    def __str__(self) -> str:
        return f"wait {format_duration(self.seconds)}"


class Eventually(Step, frozen=True):
    """Go on as soon as the condition holds; fail if it does not within `within`."""

    key = "eventually"
    condition: AnyCondition
    within: float

    def __str__(self) -> str:
        return f"eventually, within {format_duration(self.within)}: {self.condition}"


class Never(Step, frozen=True):
    """Watch for `during`; fail at once if the condition holds."""

    key = "never"
    condition: AnyCondition
    during: float

    def __str__(self) -> str:
        return f"never, for {format_duration(self.during)}: {self.condition}"


class Etrn(Step, frozen=True):
    """A host asks another by SMTP to start its queue for a domain (RFC 1985), the lab's by default.

    Fails if the answer is not positive; or, with `reply`, if it is not just that code.
    """

    key = "etrn"
    host: Host
    asks: Host
    domain: Domain | None = None
    reply: Annotated[int, msgspec.Meta(ge=200, le=599)] | None = None

    def __str__(self) -> str:
        return f"etrn: {self.host} asks {self.asks} to start its queue"


class Dns(Step, frozen=True):
    """Change a zone: remove, then add records (a line of zone text each), or put `zone` in its
    place. `origin` is the lab's domain unless given. It is a change, not a fault: nothing heals it.
    """

    key = "dns"
    origin: Origin | None = None
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()
    zone: str | None = None

    def __str__(self) -> str:
        if self.zone is not None:
            return "dns: a new zone"
        changes = [f"-{line}" for line in self.remove] + [f"+{line}" for line in self.add]
        return f"dns: {'; '.join(changes)}"


class Python(Step, frozen=True):
    """Await a function of one argument, the lab: `file.py:function` beside the scenario file, or
    `module:function`, or `call` itself where the scenario was built in Python."""

    key = "python"
    target: str
    call: Callable[[Any], Awaitable[None]] | None = None

    def __str__(self) -> str:
        return f"python: {self.target}"


class Parallel(Step, frozen=True):
    """Run steps side by side; done when all are."""

    key = "parallel"
    steps: tuple["AnyStep", ...]

    def __str__(self) -> str:
        return f"at the same time: {', '.join(step.key for step in self.steps)}"


AnyStep = (
    Say | Ask | Send | Fault | Heal | Wait | Eventually | Never | Etrn | Dns | Python | Parallel
)  # fmt: skip
STEPS: dict[str, type[AnyStep]] = {
    kind.key: kind
    for kind in (Say, Ask, Send, Fault, Heal, Wait, Eventually, Never, Parallel, Etrn, Dns, Python)
}
