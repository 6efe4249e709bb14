"""IMAP servers: who has them, what they are called, and the worlds that have none."""

from pathlib import Path

import msgspec
import pytest

from mxlab.backends.base import Order
from mxlab.backends.docker.compose import export_compose
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.errors import Unsupported, UsageError
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.plan import AddressPlan, make_plan

IMAP = Topology(imap=True)
WHERE = AddressPlan("10.83.0.0/24")


def test_there_is_one_for_each_primary_with_an_address_and_a_name() -> None:
    plan = make_plan("lab", "run", IMAP, WHERE)
    (server,) = plan.imap
    assert (server.name, server.primary, server.address) == ("imap", "mx1", "10.83.0.6")
    assert server.tls is None
    zones = plan.node("dns").zones  # type: ignore[union-attr]
    assert "imap IN A 10.83.0.6" in zones["example.test"]
    assert "6 IN PTR imap.example.test." in zones["0.83.10.in-addr.arpa"]
    equal = Topology(imap=True, mx=(Exchange("mx1", 10), Exchange("mx2", 10)))
    assert equal.imap_servers == {"imap-mx1": "mx1", "imap-mx2": "mx2"}
    assert make_plan("lab", "run", Topology(), WHERE).imap == ()


def test_it_has_a_certificate_where_the_lab_has_an_authority() -> None:
    (server,) = make_plan("lab", "run", Topology(imap=True, tls=True), WHERE).imap
    assert server.tls is not None
    assert "BEGIN CERTIFICATE" in server.tls.ca


def test_no_node_can_have_its_name() -> None:
    with pytest.raises(UsageError, match="two nodes are called 'imap'"):
        make_plan("lab", "run", msgspec.structs.replace(IMAP, client="imap"), WHERE)


async def test_local_processes_have_none_and_nothing_starts(tmp_path: Path) -> None:
    backend = ProcessBackend(root=tmp_path)
    with pytest.raises(Unsupported, match="the process backend has none") as error:
        async with backend.deploy(Order("lab", "run", IMAP), lambda _: None):
            raise AssertionError("it came up")
    assert error.value.exit_code == 3
    assert "mxlab mailbox" in error.value.hint
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - an empty folder


def test_the_simulation_has_none() -> None:
    async def up() -> None:
        async with SimBackend().deploy(Order("lab", "run", IMAP), lambda _: None):
            raise AssertionError("it came up")

    with pytest.raises(Unsupported, match="the sim backend has none"):
        simulate(up)


def test_a_compose_file_has_none() -> None:
    with pytest.raises(Unsupported, match="no IMAP server"):
        export_compose(IMAP)
