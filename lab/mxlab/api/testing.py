"""For each automated test a clean view of a lab that runs: `LabDesk`.

Whatever a test leaves behind (open faults, queued mail, changed zones) is undone before the next
one.

Long: one desk with all that a test may ask of a lab.
"""

import asyncio
import contextlib
import itertools
import ssl
import time as host
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as default_policy
from typing import Any, NamedTuple, TypeVar

from mxlab.api import build as api
from mxlab.api.running_lab import RunningLab
from mxlab.backends.base import CanPublish, Lab, Node
from mxlab.errors import (
    EnvironmentProblem,
    LabError,
    NodeUnreachable,
    UnknownName,
    Unsupported,
    UsageError,
)
from mxlab.history.biography import biography
from mxlab.model.condition import AnyCondition, Condition
from mxlab.model.scenario import Scenario, walk
from mxlab.model.step import AnyStep, Config, Dns, Fault, Python, Send
from mxlab.runner.drain import drain
from mxlab.runner.runner import silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import Watch
from mxlab_services.config import MtaConfig
from mxlab_services.control.replies import QueueEntry, ZoneReport
from mxlab_services.control.requests import (
    Forget,
    MailboxList,
    MailboxRead,
    QueueEdit,
    QueueList,
    ZoneList,
    ZoneReplace,
)

R = TypeVar("R")
STORIES = 5  # of a failed test's messages, told in full
DRAIN_SECONDS = 20.0  # lab seconds that mail of a test may take to leave the queues after it


class SmtpEndpoint(NamedTuple):
    """Where a program reaches an SMTP server of the lab: `smtplib.SMTP(*endpoint)`."""

    host: str
    port: int


class SubmissionEndpoint(NamedTuple):
    """Where and as whom a program hands in mail, with TLS and AUTH. `port`: by STARTTLS;
    `tls_port`: TLS at once. `ca` is the certificate (PEM) of the lab's own authority."""

    host: str
    port: int
    tls_port: int
    user: str
    password: str
    ca: str

    @property
    def context(self) -> ssl.SSLContext:
        """What trusts the lab's authority and nobody else."""
        return ssl.create_default_context(cadata=self.ca)


class LabDesk:
    """One test's view of a lab: addresses and batches that no other test has, and a way back."""

    def __init__(self, running: RunningLab) -> None:
        self._running = running
        self._token = f"t{next(running.numbers)}"
        self._numbers = itertools.count(1)
        empty = Scenario(title="a test", steps=(), expect=())
        self._steps = Steps(empty, running.watch, silent)
        self._zones: list[ZoneReport] | None = None
        self._disturbed = False
        self._before = set(running.watch.trace.messages())

    # --- addresses and ports ---------------------------------------------------------------------

    def address(self, name: str = "bob") -> str:
        """An address at the lab's domain that is this test's alone."""
        return f"{name}-{self._token}@{self._lab.topology.domain}"

    @property
    def sender(self) -> str:
        """An address at the client's domain that is this test's alone."""
        return self._sender_at(None)

    @property
    def smtp(self) -> SmtpEndpoint:
        """The lab's outgoing mail server: it takes what a program of this machine submits, queues
        it, and finds the exchange. Raises Unsupported where it cannot be reached from here."""
        return self.smtp_of(self._lab.topology.client)

    def smtp_of(self, exchange: str) -> SmtpEndpoint:
        """One exchange, for a program that finds its way by itself. Raises UnknownName."""
        node = self._node(exchange)
        found = self._running.call(node.published()) if isinstance(node, CanPublish) else {}
        if "smtp" not in found:
            raise Unsupported(f"{exchange} takes no mail from this machine")
        return SmtpEndpoint(*found["smtp"])

    def submission(self, user: str | None = None) -> SubmissionEndpoint:
        """The lab's outgoing mail server where TLS and AUTH are required, for one of the users of
        the topology's `submission` (the first). Raises UsageError where it has none, UnknownName,
        and Unsupported where it cannot be reached from here."""
        client = self._lab.topology.client
        node = self._node(client)
        config = node.config
        if not isinstance(config, MtaConfig) or config.submission is None:
            raise UsageError(
                f"nobody may submit at {client}: the topology has no `submission`",
                "@pytest.mark.mxlab(topology={'submission': {'users': {'alice': 'secret'}}})",
            )
        users = config.submission.users
        name = next(iter(users)) if user is None else user
        if name not in users:
            raise UnknownName("user", name, users)
        found = self._running.call(node.published()) if isinstance(node, CanPublish) else {}
        if not {"submission", "submissions"} <= found.keys():
            raise Unsupported(f"{client} takes no mail from this machine")
        host, port = found["submission"]
        tls_port, ca = found["submissions"][1], config.submission.tls.ca
        return SubmissionEndpoint(host, port, tls_port, name, users[name], ca)

    # --- acting ----------------------------------------------------------------------------------

    def send(self, to: str | list[str] | None = None, *, count: int = 1, **more: Any) -> Send:
        """Submit mail through a client (the first, or `via`); returns the batch, for
        `delivered(batch)` and the like. Without `to`: to `address()`; without `sender`: from an
        address at the client's domain that is this test's alone."""
        given = {"sender": self._sender_at(more.get("via")), **more}
        step = api.send(self._next("batch"), to=to or self.address(), count=count, **given)
        self.do(step)
        return step

    @contextlib.contextmanager
    def fault(self, kind: str, host: str | None = None, **parameters: Any) -> Iterator[str]:
        """A fault that is in effect within the block: `with mxlab.fault("kill", "mx1"):`."""
        step = api.fault(self._next("fault"), kind, host, **parameters)
        try:
            self.do(step)
            yield step.id
        finally:
            self.do(api.heal(step))

    def do(self, step: AnyStep) -> None:
        """Any step of the Python API. Raises AssertionError where it fails."""
        __tracebackhide__ = True
        inner = [one for _, one in walk((step,))]
        if any(isinstance(one, Dns | Python) for one in inner) and self._zones is None:
            self._zones = self._running.call(self._dns.request(ZoneList()))
        self._disturbed |= any(isinstance(one, Dns | Fault | Config | Python) for one in inner)
        try:
            self._running.call(self._steps.do(step))
        except StepFailed as failed:
            if isinstance(failed.__cause__, LabError):
                raise failed.__cause__ from None
            raise AssertionError(failed.finding.text) from None

    # --- seeing ----------------------------------------------------------------------------------

    def eventually(
        self, wanted: AnyCondition | Callable[[], R], *, within: api.Duration = "30s"
    ) -> R | None:
        """Wait until a condition holds, or until a function of yours returns something true without
        an AssertionError; it is asked again whenever something happens in the lab. Returns its
        answer. Raises AssertionError with what was seen instead. `within` is lab time."""
        __tracebackhide__ = True
        if isinstance(wanted, Condition):
            self.do(api.eventually(wanted, within=within))
            return None
        assert callable(wanted)
        return self._until(wanted, api.wait(within).seconds)

    def never(self, condition: AnyCondition, *, during: api.Duration) -> None:
        """Watch; raises AssertionError at once if the condition holds."""
        __tracebackhide__ = True
        self.do(api.never(condition, during=during))

    def mailbox(self, address: str | None = None) -> list[EmailMessage]:
        """The messages in a mailbox (of `address()`), in the order of their delivery. A host that
        is down cannot be asked, and shows none."""
        return self._running.call(self._mailbox(address or self.address()))

    def queue(self, host: str) -> list[QueueEntry]:
        """What waits at a host. Raises UnknownName, NodeUnreachable."""
        return self._running.call(self._node(host).request(QueueList()))

    def stories(self) -> list[str]:
        """What became of each message since the test began, as `mxlab trace` tells it."""
        return self._running.call(self._stories())

    # --- inner -----------------------------------------------------------------------------------

    @property
    def _lab(self) -> Lab:
        return self._running.lab

    @property
    def _dns(self) -> Node:
        return self._lab.nodes[self._lab.topology.dns_host]

    def _sender_at(self, client: str | None) -> str:
        topology = self._lab.topology
        known = topology.sender_domains
        if client is not None and client not in known:
            raise UnknownName("client", client, known)
        return f"alice-{self._token}@{known[client or topology.client]}"

    def _node(self, name: str) -> Node:
        if name not in self._lab.nodes:
            raise UnknownName("node", name, self._lab.nodes)
        return self._lab.nodes[name]

    def _next(self, what: str) -> str:
        return f"{what}-{self._token}-{next(self._numbers)}"

    def _until(self, wanted: Callable[[], R], seconds: float) -> R:
        __tracebackhide__ = True
        watch = self._running.watch
        deadline = host.monotonic() + self._lab.clock.real(seconds)
        while True:
            version = watch.version
            last = host.monotonic() >= deadline
            try:
                if answer := wanted():
                    return answer
            except AssertionError:
                if last:
                    raise
            else:
                if last:
                    text = f"not within {seconds:g} s: the last answer was {answer!r}"
                    raise AssertionError(text)
            left = max(0.0, deadline - host.monotonic())
            self._running.call(_wait(watch, version, left))

    async def _stories(self) -> list[str]:
        trace = self._running.watch.trace
        own = [message for message in trace.messages() if message not in self._before]
        shown = ["\n".join(biography(trace, message)) for message in own[:STORIES]]
        return shown if len(own) <= STORIES else [*shown, f"... and {len(own) - STORIES} more"]

    async def _mailbox(self, address: str) -> list[EmailMessage]:
        found: list[tuple[float, EmailMessage]] = []
        for node in self._lab.nodes.values():
            if not isinstance(node.config, MtaConfig):
                continue
            with contextlib.suppress(NodeUnreachable):
                for entry in await node.request(MailboxList(address)):
                    content = await node.request(MailboxRead(address, entry.name))
                    found.append((entry.delivered_at, _parsed(content)))
        return [message for _, message in sorted(found, key=lambda pair: pair[0])]

    def close(self) -> None:
        """Heal what is open, put the zones back, empty the queues, and let the servers forget."""
        self._running.call(self._close())

    async def _close(self) -> None:
        unhealed = await self._steps.undo_all()
        for zone in self._zones or ():
            await self._dns.request(ZoneReplace(zone.origin, "\n".join(zone.records), strict=False))
        servers = [n for n in self._lab.nodes.values() if isinstance(n.config, MtaConfig)]
        if not await drain(self._running.watch, silent, DRAIN_SECONDS):
            for node in servers:
                await node.request(QueueEdit("delete", ["ALL"]))
        if self._disturbed:
            await asyncio.gather(*(_afresh(node) for node in servers))
        if unhealed:
            raise EnvironmentProblem("; ".join(finding.text for finding in unhealed))


async def _afresh(node: Node) -> None:
    """What it knows of DNS and of dead hosts is gone then."""
    if await node.state() != "running":
        await node.stop()
        await node.start()
    else:
        await node.request(Forget())


async def _wait(watch: Watch, version: int, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await watch.changed_since(version)


def _parsed(content: bytes) -> EmailMessage:
    """The message, its lines ended as is usual here, not as on the wire."""
    message = BytesParser(policy=default_policy).parsebytes(content.replace(b"\r\n", b"\n"))
    assert isinstance(message, EmailMessage)
    return message
