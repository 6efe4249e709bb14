"""A running lab for automated tests: `RunningLab`, and for each test a clean `LabDesk`.

The lab is driven by an event loop in a thread of its own, so that plain tests and tests with a loop
of their own can use it alike. Whatever a test leaves behind (open faults, queued mail, changed
zones) is undone before the next one.
"""

import asyncio
import contextlib
import itertools
import threading
import time as host
from collections.abc import Callable, Coroutine, Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default as default_policy
from typing import Any, NamedTuple, TypeVar

from mxlab.api import build as api
from mxlab.backends.base import Backend, CanPublish, Lab, Node, Order
from mxlab.errors import EnvironmentProblem, LabError, NodeUnreachable, UnknownName, Unsupported
from mxlab.history.biography import biography
from mxlab.model.condition import AnyCondition, Condition
from mxlab.model.scenario import Scenario, walk
from mxlab.model.step import AnyStep, Dns, Fault, Python, Send
from mxlab.model.topology import Topology
from mxlab.runner.drain import drain
from mxlab.runner.runner import silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import Watch, watching
from mxlab_services.config import MtaConfig, TimeConfig
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


class Endpoint(NamedTuple):
    """Where a program reaches an SMTP server of the lab: `smtplib.SMTP(*endpoint)`."""

    host: str
    port: int


class RunningLab:
    """A lab that is up between `start` and `stop`. Its methods wait, from any other thread."""

    def __init__(
        self,
        backend: Backend,
        name: str,
        topology: Topology | None = None,
        time_scale: float = 1.0,
    ) -> None:
        self.name = name
        self._backend = backend
        self._topology = topology or Topology()
        self._time_scale = time_scale
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._end = asyncio.Event()
        self._numbers = itertools.count(1)
        self.watch: Watch

    def start(self) -> None:
        """Bring it up. Raises what a deployment may."""
        self._thread.start()
        up: asyncio.Future[Watch] = self._loop.create_future()
        self._life = asyncio.run_coroutine_threadsafe(self._live(up), self._loop)

        async def ready() -> Watch:
            return await up

        try:
            self.watch = self.call(ready())
        except BaseException:
            self._close()
            raise

    def stop(self) -> None:
        """Remove it. Raises EnvironmentProblem if something is left."""
        self._loop.call_soon_threadsafe(self._end.set)
        try:
            self._life.result()
        finally:
            self._close()

    def call(self, work: Coroutine[Any, Any, R]) -> R:
        """Run it on the lab's loop, and wait; an interrupt ends it."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def desk(self) -> "LabDesk":
        """A clean view of the lab for one test."""
        return LabDesk(self, next(self._numbers))

    @property
    def lab(self) -> Lab:
        return self.watch.lab

    async def _live(self, up: "asyncio.Future[Watch]") -> None:
        time = TimeConfig(self._time_scale, host.time())  # noqa: TID251 - when this lab's time begins
        order = Order(self.name, self.name, self._topology, time, publish=True)
        try:
            async with self._backend.deploy(order, silent) as lab, watching(lab) as watch:
                up.set_result(watch)
                await self._end.wait()
        except BaseException as error:
            if not up.done():
                up.set_exception(error)
                return
            raise

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()


class LabDesk:
    """One test's view of a lab: addresses and batches that no other test has, and a way back."""

    def __init__(self, running: RunningLab, number: int) -> None:
        self._running = running
        self._token = f"t{number}"
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
        return f"alice-{self._token}@{self._lab.topology.client_domain}"

    @property
    def smtp(self) -> Endpoint:
        """The lab's outgoing mail server: it takes what a program of this machine submits, queues
        it, and finds the exchange. Raises Unsupported where it cannot be reached from here."""
        return self.smtp_of(self._lab.topology.client)

    def smtp_of(self, exchange: str) -> Endpoint:
        """One exchange, for a program that finds its way by itself. Raises UnknownName."""
        node = self._node(exchange)
        found = self._running.call(node.published()) if isinstance(node, CanPublish) else {}
        if "smtp" not in found:
            raise Unsupported(f"{exchange} takes no mail from this machine")
        return Endpoint(*found["smtp"])

    # --- acting ----------------------------------------------------------------------------------

    def send(self, to: str | list[str] | None = None, *, count: int = 1, **more: Any) -> Send:
        """Submit mail through the client; answers the batch, for `delivered(batch)` and the like.
        Without `to`: to `address()`."""
        given = {"sender": self.sender, **more}
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
        self._disturbed |= any(isinstance(one, Dns | Fault | Python) for one in inner)
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
        """Wait until a condition holds, or until a function of yours answers something true without
        an AssertionError; it is asked again whenever something happens in the lab. Answers its
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
        return self._lab.nodes[self._lab.topology.dns]

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
        unhealed = await self._steps.heal_all()
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
