"""`up` with a product as the backup, against `up` with mxlab's own server, on Docker.

They take turns, each once in a round; times are medians of the rounds, in seconds, of a lab whose
images are there. What counts is the difference, in seconds, since a part of it is the product's own
start.
"""

import statistics
import time

import pytest

from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend
from mxlab.backends.docker.products import MAIL_SERVERS
from mxlab.model.topology import Topology
from mxlab.plan.software import with_software
from tests.bench.table import Table, machine

ROUNDS = 5
OWN = "mxlab"
MOST = 1.0  # seconds that a product may take longer
LAB = "bench-up"

pytestmark = [pytest.mark.bench, pytest.mark.docker, pytest.mark.timeout(600)]


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


async def seconds_up(software: str) -> float:
    """How long a lab takes until all its nodes are ready."""
    order = Order(LAB, f"r{time.monotonic_ns()}", with_software(Topology(), {"mx2": software}))
    began = time.perf_counter()
    async with DockerBackend().deploy(order, quiet):
        return time.perf_counter() - began


async def test_up_with_a_product_against_up_without() -> None:
    kinds = (OWN, *(product.name for product in MAIL_SERVERS))
    for kind in kinds:
        await seconds_up(kind)  # images are made when first wanted
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind in kinds:
            taken[kind].append(await seconds_up(kind))

    medians = {kind: statistics.median(seconds) for kind, seconds in taken.items()}
    title = f"Docker: up with a product as backup, medians of {ROUNDS} ({machine()})"
    table = Table(title, "mx2", "up, all nodes ready: s", "longer by: s", "at most")
    for kind, seconds in medians.items():
        longer = "" if kind == OWN else f"{seconds - medians[OWN]:.2f}"
        table.row(kind, f"{seconds:.2f}", longer, "" if kind == OWN else MOST)
    table.show()
    late = {kind: seconds for kind, seconds in medians.items() if seconds - medians[OWN] > MOST}
    assert not late, medians
