"""The relay runs unmodified in the simulation: virtual time, an in-memory network, no leaks."""

import time

from mxlab_services.queue.ports import Delivered
from tests.support.sim_relay import SimRelay
from tests.support.smtp_sink import Sink


def _run() -> tuple[object, ...]:
    """mx1 hangs at the greeting, so mx2 gets two messages on one connection, which then closes."""
    mx2 = Sink()
    world = SimRelay(Sink({"greeting": ["hang"]}), mx2)

    async def story() -> tuple[object, ...]:
        results = [*await world.send(), *await world.send(first=2)]
        took = world.loop.time()
        await mx2.all_closed()  # the idle connection is given up by itself
        return results, took, [(e.host.split(".")[0], e.stage, e.seconds) for e in world.tried]

    return (*world.run(story), mx2.connections, len(mx2.received))


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
