"""A lab of thirty nodes: how long it takes to be ready, in the simulation and on Docker.

In the simulation by the processor's time. On Docker against the bare SDK, which starts as many
sleeping containers of the same image, taking turns: the engine's own time is most of it.
"""

import asyncio
import statistics
import time
from concurrent.futures import ThreadPoolExecutor

import docker
import pytest

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend, image_store
from mxlab.backends.docker import image as images
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.topology import Exchange, MailDomain, RelayHost, Topology
from tests.bench.table import Table, machine

NODES = 30
LAB = "bench-thirty"
SIM_SECONDS = 0.2  # of processor time
SIM_ROUNDS = 5
ROUNDS = 3
RATIO = 3.0  # to the bare SDK, at most: on two cores the nodes themselves need half as much again
WIDE = Topology(
    mx=tuple(Exchange(f"mx{n}", 10 * n) for n in range(1, 17)),
    domains=(MailDomain("second.test", tuple(Exchange(f"s{n}", 10 * n) for n in range(1, 9))),),
    relays=tuple(RelayHost(f"relay{n}", "isp.test", ("client",)) for n in (1, 2)),
    dns=("ns1", "ns2", "ns3"),
)

pytestmark = pytest.mark.bench


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


async def simulated() -> float:
    """Processor seconds until all are ready."""
    began = time.process_time()
    async with SimBackend().deploy(Order(LAB, "r1", WIDE), quiet) as lab:
        spent = time.process_time() - began
        assert len(lab.nodes) == NODES
    return spent


def test_thirty_nodes_in_the_simulation() -> None:
    seconds = sorted(simulate(simulated) for _ in range(SIM_ROUNDS))
    table = Table(f"A lab of {NODES} nodes, simulated ({machine()})", "what", "s", "at most")
    table.row("the first in a process, or the slowest", f"{seconds[-1]:.3f}", SIM_SECONDS)
    table.row("median", f"{statistics.median(seconds):.3f}", SIM_SECONDS)
    table.show()
    assert seconds[-1] <= SIM_SECONDS


def bare_round(api: docker.APIClient, image: str) -> float:
    """Seconds until as many sleepers have been started; then they are removed."""
    made: list[str] = []

    def start(_: int) -> None:
        container = api.create_container(image, ["3600"], entrypoint=["sleep"])["Id"]
        made.append(container)
        api.start(container)

    with ThreadPoolExecutor(NODES) as pool:
        began = time.perf_counter()
        try:
            list(pool.map(start, range(NODES)))
            return time.perf_counter() - began
        finally:
            list(pool.map(lambda one: api.remove_container(one, force=True), made))


async def lab_round() -> float:
    backend, began = DockerBackend(), time.perf_counter()
    async with backend.deploy(Order(LAB, f"r{time.monotonic_ns()}", WIDE), quiet) as lab:
        assert len(lab.nodes) == NODES
        return time.perf_counter() - began


@pytest.mark.docker
async def test_thirty_nodes_on_docker() -> None:
    async with image_store() as store:
        image = await images.ensure_image(store, quiet)
    api = docker.APIClient(max_pool_size=NODES)
    bare, ups = [], []
    try:
        for _ in range(ROUNDS):
            bare.append(await asyncio.to_thread(bare_round, api, image))
            ups.append(await lab_round())
    finally:
        api.close()
    ratio = statistics.median(ups) / statistics.median(bare)
    table = Table(f"A lab of {NODES} nodes on Docker ({machine()})", "what", "s", "ratio")
    table.row("bare SDK: as many sleepers started", f"{statistics.median(bare):.2f}", "1.0")
    table.row("mxlab up, all nodes ready", f"{statistics.median(ups):.2f}", f"{ratio:.2f}")
    table.show()
    assert ratio <= RATIO
