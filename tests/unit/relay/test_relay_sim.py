"""The relay runs unmodified in the simulation: virtual time, an in-memory network, no leaks."""

import asyncio
import time

from mxlab.backends.sim.guard import guarded
from mxlab.backends.sim.loop import Life, SimLoop
from mxlab.backends.sim.network import Network
from mxlab_services import events
from mxlab_services.config import ClientConfig, Timeouts
from mxlab_services.message import Envelope, Recipient
from mxlab_services.queue.ports import Delivered, Job, Result, Route, Target
from mxlab_services.relay.relay import SmtpRelay
from tests.support.smtp_sink import Sink

ADDRESSES = {"client": "10.0.0.9", "mx1": "10.0.0.1", "mx2": "10.0.0.2"}
BOB = "bob@example.test"


async def _story(loop: SimLoop, network: Network, sinks: dict[str, Sink]) -> tuple[object, ...]:
    """mx1 hangs at the greeting, so mx2 gets two messages on one connection, which then closes."""
    hosts = {name: network.add_host(name, address) for name, address in ADDRESSES.items()}
    for name, host in hosts.items():
        host.life = Life(name, loop)
    seen: list[events.Body] = []

    def on(name: str, work: object) -> asyncio.Task[object]:
        life = hosts[name].life
        assert life is not None
        assert asyncio.iscoroutine(work)
        return loop.create_task(work, context=life.context)

    for name, sink in sinks.items():
        await on(name, sink.start(ADDRESSES[name], 25))
    config = ClientConfig(
        node="client",
        address=ADDRESSES["client"],
        hostname="client.test",
        dns="10.0.0.3",
        networks=["10.0.0.0/24"],
        timeouts=Timeouts(greeting=300, command=300, data=180, dot=600),  # RFC 5321 §4.5.3.2
    )
    relay = SmtpRelay(config, None, lambda body, message=None: seen.append(body))
    targets = tuple(
        Target(f"{name}.example.test", 10 * number, (ADDRESSES[name],))
        for number, name in enumerate(sinks, 1)
    )

    async def deliver(number: int) -> Result:
        envelope = Envelope("a@client.test", (Recipient(BOB),))
        job = Job(f"Q{number}", f"<{number}@client.test>", envelope, b"Subject: x\r\n\r\nx\r\n")
        results = await relay.deliver(Route("example.test", targets[number:], ()), job)
        return results[BOB]

    results = [await on("client", deliver(0)), await on("client", deliver(1))]
    took = loop.time()
    await sinks["mx2"].all_closed()  # the idle connection is given up by itself
    await on("client", relay.close())
    for name, sink in sinks.items():
        await on(name, sink.stop())
    tried = [e for e in seen if isinstance(e, events.Tried)]
    return results, took, [(e.host.split(".")[0], e.stage, e.seconds) for e in tried]


def _run() -> tuple[object, ...]:
    loop = SimLoop()
    network = Network(loop, 1)
    sinks = {"mx1": Sink({"greeting": ["hang"]}), "mx2": Sink()}
    try:
        with guarded():
            story = loop.run_until_complete(_story(loop, network, sinks))
    finally:
        loop.close()
    return (*story, sinks["mx2"].connections, len(sinks["mx2"].received))


def test_five_minutes_of_waiting_take_no_real_time_and_repeat_exactly() -> None:
    began = time.perf_counter()
    first = _run()
    assert time.perf_counter() - began < 30
    results, took, tried, connections, received = first
    assert isinstance(results, list)
    assert [type(result) for result in results] == [Delivered, Delivered]
    assert isinstance(took, float)
    assert 300 <= took < 310
    assert isinstance(tried, list)
    assert [entry[:2] for entry in tried] == [
        ("mx1", "greeting"),
        ("mx2", "done"),
        ("mx2", "done"),
    ]
    assert (connections, received) == (1, 2)
    assert _run() == first
