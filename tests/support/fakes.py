"""Parts for tests: a clock on the loop's time, events kept in a list, a relay without a network."""

import asyncio
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from mxlab_services.clock import Clock
from mxlab_services.config import Limits, MxConfig, RetryConfig
from mxlab_services.events import Body, Emit
from mxlab_services.ids import SeededIds
from mxlab_services.message import Envelope, Origin, Recipient
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.mail_queue import MailQueue
from mxlab_services.queue.ports import Deferred, Delivered, Job, Result, Route, Target
from mxlab_services.reply import Reply
from mxlab_services.storage.memory import MemoryMailboxes
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool

EPOCH = 1_900_000_000.0


class FakeClock:
    """Lab time is the running loop's time after EPOCH, `scale` times as fast: on a SimLoop it
    jumps."""

    def __init__(self, scale: float = 1.0) -> None:
        self._scale = scale

    def time(self) -> float:
        return EPOCH + asyncio.get_running_loop().time() * self._scale

    def real(self, seconds: float) -> float:
        return seconds / self._scale

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(0.0, self.real(seconds)))


class StillClock:
    """Lab time that only `advance` moves, and a sleep."""

    def __init__(self, now: float = EPOCH) -> None:
        self._now = now

    def time(self) -> float:
        return self._now

    def real(self, seconds: float) -> float:
        return seconds

    async def sleep(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        """Let `seconds` of lab time pass."""
        self._now += seconds


@dataclass
class Heard:
    """An Emit that keeps events, with the lab time at which they came."""

    clock: Clock
    events: list[tuple[float, Body, str | None]] = field(default_factory=list)

    def __call__(self, body: Body, message: str | None = None) -> None:
        self.events.append((self.clock.time(), body, message))

    def of(self, *kinds: str) -> list[Body]:
        return [body for _, body, _ in self.events if body.kind in kinds]

    def times(self, kind: str) -> list[float]:
        return [at - EPOCH for at, body, _ in self.events if body.kind == kind]


class FakeRouter:
    """One host for each domain, or what `failures` says."""

    def __init__(self) -> None:
        self.failures: dict[str, Route] = {}

    async def route(self, domain: str, message: str | None = None) -> Route:
        target = Target(f"mx.{domain}", 10, ("10.0.0.1",))
        return self.failures.get(domain, Route(domain, (target,), ()))


OK = Reply(250, "2.0.0", "Ok")
REFUSED = Deferred(Reply(0, "", "connection refused"), dead=True)
Answer = Callable[[Route, Job, str], Result]


def accepts(route: Route, job: Job, address: str) -> Result:
    return Delivered(OK, route.targets[0].host)


class FakeRelay:
    """Answers for each recipient what `answer` says, after `seconds` of lab time."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.answer: Answer = accepts
        self.jobs: list[Job] = []
        self.running = 0
        self.most = 0
        self.seconds = seconds

    async def deliver(self, route: Route, job: Job) -> Mapping[str, Result]:
        self.jobs.append(job)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.seconds)
        finally:
            self.running -= 1
        if route.failure is not None:
            return {r.address: route.failure for r in job.envelope.recipients}
        return {r.address: self.answer(route, job, r.address) for r in job.envelope.recipients}

    def forget(self) -> None:
        pass

    async def close(self) -> None:
        pass


class QueueLab:
    """A queue on a MemoryDisk with everything but the network."""

    def __init__(
        self,
        retry: RetryConfig | None = None,
        disk: MemoryDisk | None = None,
        relay: FakeRelay | None = None,
        most: int = 20,
    ) -> None:
        self.clock = FakeClock()
        self.heard = Heard(self.clock)
        emit: Emit = self.heard
        self.disk = disk or MemoryDisk()
        rng = random.Random(7)
        ids = SeededIds(self.clock, rng)
        config = MxConfig(
            node="mx2", address="10.0.0.2", hostname="mx2.example.test", dns="10.0.0.3",
            networks=[], retry=retry or RetryConfig("postfix"),
            limits=Limits(destination_concurrency=most),
        )  # fmt: skip
        self.live = LiveConfig(config)
        self.spool = MemorySpool(self.disk)
        self.mailboxes = MemoryMailboxes(self.disk, ids)
        self.router = FakeRouter()
        self.relay = relay or FakeRelay()
        self.queue = MailQueue(
            self.live, ["local.test"], self.spool, self.mailboxes, self.router, self.relay, ids,
            self.clock, rng, emit,
        )  # fmt: skip

    async def __aenter__(self) -> "QueueLab":
        self.queue.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.queue.sweeper.close()
        await self.queue.scheduler.close()
        await self.spool.close()

    async def send(
        self,
        *recipients: str | Recipient,
        sender: str = "alice@client.test",
        subject: str = "hello",
        **parameters: str,
    ) -> str:
        """Put one message into the queue."""
        envelope = Envelope(
            sender,
            tuple(Recipient(r) if isinstance(r, str) else r for r in recipients),
            **parameters,  # type: ignore[arg-type]
        )
        number = len(self.heard.of("message.accepted"))
        content = (
            f"From: {sender}\r\nSubject: {subject}\r\nMessage-ID: <m{number}@client.test>\r\n"
            "\r\nHello.\r\n"
        )
        return await self.queue.intake(
            envelope, content.encode(), Origin("10.0.0.9", "client.test")
        )
