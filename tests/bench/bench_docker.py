"""`up` and `down` on Docker, against the bare SDK with four sleeping containers of the same image.

Both start and remove in parallel, taking turns; times are medians of rounds, in seconds. The phases
of `up` come from its own progress. Memory is what the engine counts for a node at rest, without
the page cache that it could give back.
"""

import asyncio
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import docker
import pytest

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend, image_store
from mxlab.backends.docker import image as images
from tests.bench.table import Table, machine

ROUNDS = 7
NODES = 4
LAB = "bench"

pytestmark = [pytest.mark.bench, pytest.mark.docker]


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def bare_round(api: docker.APIClient, image: str) -> tuple[float, float]:
    """Seconds to start four sleepers, and to remove them."""
    made: list[str] = []

    def start(_: int) -> None:
        container = api.create_container(image, ["3600"], entrypoint=["sleep"])["Id"]
        made.append(container)
        api.start(container)

    def remove(container: str) -> None:
        api.remove_container(container, force=True)

    with ThreadPoolExecutor(NODES) as pool:
        up = timed(lambda: list(pool.map(start, range(NODES))))
        down = timed(lambda: list(pool.map(remove, made)))
    return up, down


async def lab_round(memory: list[float]) -> tuple[list[tuple[str, float]], float]:
    """The phases of `up` with their seconds, and the seconds of `down`."""
    marks = [("connecting", time.perf_counter())]
    backend = DockerBackend()
    order = Order(LAB, f"r{time.monotonic_ns()}")
    async with backend.deploy(
        order, lambda phase: marks.append((phase, time.perf_counter())), keep=True
    ) as lab:
        marks.append(("ready", time.perf_counter()))
        if not memory:
            memory += await asyncio.to_thread(memory_of, list(lab.nodes))
    began = time.perf_counter()
    await backend.remove(LAB)
    down = time.perf_counter() - began
    return [(name, after - at) for (name, at), (_, after) in pairwise(marks)], down


def memory_of(nodes: list[str]) -> list[float]:
    """MiB of each node."""
    api = docker.APIClient()
    try:
        answers = [api.stats(f"mxlab-{LAB}-{node}", stream=False) for node in nodes]
    finally:
        api.close()
    used = []
    for answer in answers:
        counted = answer["memory_stats"]
        cache = counted["stats"].get("inactive_file", counted["stats"].get("total_inactive_file"))
        used.append((counted["usage"] - cache) / 2**20)
    return used


async def test_up_and_down_against_the_bare_sdk() -> None:
    async with image_store() as store:
        image = await images.ensure_image(store, quiet)
    api = docker.APIClient()
    phases: dict[str, list[float]] = {}
    ups, downs, bare_ups, bare_downs = [], [], [], []
    memory: list[float] = []
    try:
        for _ in range(ROUNDS):
            up, down = await asyncio.to_thread(bare_round, api, image)
            bare_ups.append(up)
            bare_downs.append(down)
            parts, down = await lab_round(memory)
            ups.append(sum(seconds for _, seconds in parts))
            downs.append(down)
            for name, seconds in parts:
                phases.setdefault(name, []).append(seconds)
    finally:
        api.close()
        await DockerBackend().remove(LAB)

    up, down, bare_up, bare_down = map(statistics.median, (ups, downs, bare_ups, bare_downs))
    table = Table(f"Docker: up and down, medians of {ROUNDS} ({machine()})", "what", "s", "ratio")
    table.row("bare SDK: four sleepers started", f"{bare_up:.2f}", "1.0")
    table.row("mxlab up, all nodes ready", f"{up:.2f}", f"{up / bare_up:.2f}")
    for name, values in phases.items():
        table.row(f"- {name}", f"{statistics.median(values):.2f}", "")
    table.row("bare SDK: four removed", f"{bare_down:.2f}", "1.0")
    table.row("mxlab down, nothing left", f"{down:.2f}", f"{down / bare_down:.2f}")
    table.row("memory of the largest node at rest", f"{max(memory):.0f} MiB", "")
    table.show()
    assert up <= 2 * bare_up
    assert down <= 2 * bare_down
    assert max(memory) <= 40
