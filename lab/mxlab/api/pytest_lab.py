"""The labs that tests want, each of a shape of its own; and a desk for tests with a loop."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from email.message import EmailMessage
from typing import Any, TypeVar

import msgspec

from mxlab.api import build as api
from mxlab.api.running_lab import RunningLab
from mxlab.api.testing import LabDesk, SmtpEndpoint, SubmissionEndpoint
from mxlab.backends.base import Backend
from mxlab.errors import UnknownName, UsageError
from mxlab.model.condition import AnyCondition
from mxlab.model.step import AnyStep, Send
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.checked import checked_topology
from mxlab.plan.software import with_software
from mxlab_services.control.replies import QueueEntry

R = TypeVar("R")
OPTIONS = ("topology", "mx", "domain", "schedule", "tls", "software", "time_scale")


def topology_of(options: Mapping[str, Any]) -> tuple[Topology, float]:
    """The topology and the time scale that these options describe. Raises UsageError.

    `topology` is a Topology or its keys as in a scenario file; `mx`: how many exchanges;
    `software`: whose mail server a host is, by its name.
    """
    for name in options:
        if name not in OPTIONS:
            raise UnknownName("option of a lab", name, OPTIONS)
    given = options.get("topology", Topology())
    try:
        keys = dict(given) if isinstance(given, Mapping) else msgspec.to_builtins(given)
        if (count := options.get("mx")) is not None:
            keys["mx"] = [Exchange(f"mx{n}", 10 * n) for n in range(1, count + 1)]
        keys |= {name: options[name] for name in ("domain", "schedule", "tls") if name in options}
        shape = msgspec.convert(msgspec.to_builtins(keys), Topology)
    except (msgspec.ValidationError, TypeError) as error:
        raise UsageError(f"no topology for a lab: {error}") from error
    scale = options.get("time_scale", 1.0)
    if not isinstance(scale, int | float) or not 0 < scale < float("inf"):
        raise UsageError(f"time_scale must be above 0, not {scale!r}")
    shape = with_software(shape, options.get("software") or {})
    return checked_topology(shape), float(scale)


class PytestLabs:
    """The labs of a session, each brought up when it is first wanted, removed when it ends."""

    def __init__(
        self, backend: Callable[[], Backend], prefix: str, common: Mapping[str, Any]
    ) -> None:
        self._backend = backend
        self._prefix = prefix
        self._common = common
        self._labs: dict[str, RunningLab] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> "PytestLabs":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def lab(self, wanted: Mapping[str, Any]) -> RunningLab:
        """The lab with what all have in common, but for what is wanted otherwise."""
        topology, scale = topology_of({**self._common, **wanted})
        key = f"{scale} {msgspec.json.encode(topology).decode()}"
        if key not in self._labs:
            name = f"{self._prefix}-{secrets.token_hex(4)}"
            lab = RunningLab(self._backend(), name, topology, scale)
            lab.start()
            self._stack.callback(lab.stop)
            self._labs[key] = lab
        return self._labs[key]


class AsyncDesk:
    """A LabDesk whose waits are awaited. `desk` is the plain one, for functions given to
    `eventually`: they are called in a thread."""

    def __init__(self, desk: LabDesk) -> None:
        self.desk = desk
        self.address = desk.address

    @property
    def sender(self) -> str:
        return self.desk.sender

    @property
    def smtp(self) -> SmtpEndpoint:
        return self.desk.smtp

    async def smtp_of(self, exchange: str) -> SmtpEndpoint:
        return await asyncio.to_thread(self.desk.smtp_of, exchange)

    async def submission(self, user: str | None = None) -> SubmissionEndpoint:
        return await asyncio.to_thread(self.desk.submission, user)

    async def send(self, to: str | list[str] | None = None, *, count: int = 1, **more: Any) -> Send:
        return await asyncio.to_thread(self.desk.send, to, count=count, **more)

    @contextlib.asynccontextmanager
    async def fault(
        self, kind: str, host: str | None = None, **parameters: Any
    ) -> AsyncIterator[str]:
        fault = self.desk.fault(kind, host, **parameters)
        name = await asyncio.to_thread(fault.__enter__)
        try:
            yield name
        finally:
            await asyncio.to_thread(fault.__exit__, None, None, None)

    async def do(self, step: AnyStep) -> None:
        await asyncio.to_thread(self.desk.do, step)

    async def eventually(
        self, wanted: AnyCondition | Callable[[], R], *, within: api.Duration = "30s"
    ) -> R | None:
        return await asyncio.to_thread(self.desk.eventually, wanted, within=within)

    async def never(self, condition: AnyCondition, *, during: api.Duration) -> None:
        await asyncio.to_thread(self.desk.never, condition, during=during)

    async def mailbox(self, address: str | None = None) -> list[EmailMessage]:
        return await asyncio.to_thread(self.desk.mailbox, address)

    async def queue(self, host: str) -> list[QueueEntry]:
        return await asyncio.to_thread(self.desk.queue, host)
