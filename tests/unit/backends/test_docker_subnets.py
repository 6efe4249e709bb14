"""Subnets: nothing overlaps, and what is in the way has a name."""

from pathlib import Path

import pytest

from mxlab.backends.docker.subnets import CANDIDATES, Network, Taken, free_subnets, host_routes
from mxlab.errors import SubnetClash, UsageError


def test_first_candidate_when_nothing_is_taken() -> None:
    assert next(free_subnets([])) == str(CANDIDATES[0])


def test_what_is_taken_is_passed_over_whatever_its_size() -> None:
    vpn = Taken(Network("10.0.0.0/8"), "the route through tun0")
    host = Taken(Network("172.29.0.17/32"), "the route through eth0")
    assert next(free_subnets([vpn, host])) == "172.29.1.0/24"


def test_clash_names_what_is_in_the_way() -> None:
    everything = Taken(Network("0.0.0.0/0"), "the Docker network 'greedy'")
    with pytest.raises(
        SubnetClash, match=r"10\.83\.0\.0/24 overlaps with .*'greedy'.*and 189 more"
    ):
        next(free_subnets([everything]))


def test_subnet_that_was_asked_for_is_the_only_candidate() -> None:
    assert list(free_subnets([], "10.9.8.0/24")) == ["10.9.8.0/24"]
    taken = Taken(Network("10.9.0.0/16"), "the Docker network 'shop'")
    with pytest.raises(SubnetClash, match="'shop'"):
        list(free_subnets([taken], "10.9.8.0/24"))


@pytest.mark.parametrize("text", ["10.9.8.1/24", "fd00::/64", "nonsense", "10.9.8.0/99"])
def test_subnet_that_is_none_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError, match="no IPv4 network"):
        next(free_subnets([], text))


def test_routes_come_from_the_kernels_table_without_the_default(tmp_path: Path) -> None:
    table = tmp_path / "route"
    table.write_text(
        "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
        "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"
        "tun0\t0000530A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"
    )
    assert host_routes(table) == [Taken(Network("10.83.0.0/16"), "the route through tun0")]


def test_no_table_means_no_routes_known(tmp_path: Path) -> None:
    assert host_routes(tmp_path / "absent") == []
