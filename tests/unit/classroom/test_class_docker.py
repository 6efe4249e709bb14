"""What is decided before a class's containers are made: memory, networks, the name server."""

import ipaddress
import itertools

import pytest

from mxlab.backends.docker.subnets import Network, Taken
from mxlab.classroom.docker import check_memory, free_subnets_of, lab_name_server
from mxlab.errors import EnvironmentProblem


def test_too_little_memory_is_said_with_numbers_and_what_would_fit() -> None:
    with pytest.raises(
        EnvironmentProblem, match=r"30 seats need 3000 MB .* 2000 MB of 4000"
    ) as told:
        check_memory(30, 2000, 4000)
    assert "at most 19 seats" in told.value.hint
    check_memory(19, 2000, 4000)


def test_seats_networks_are_small_apart_and_free() -> None:
    taken = [Taken(Network("10.84.0.0/24"), "somebody")]
    found = [ipaddress.ip_network(n) for n in itertools.islice(free_subnets_of(taken), 300)]
    assert not any(one.overlaps(taken[0].network) for one in found)
    assert len(set(found)) == 300
    assert all(one.num_addresses == 8 for one in found)


def test_the_name_server_of_a_seat_is_on_its_own_loopback() -> None:
    address = ipaddress.ip_address(lab_name_server())
    assert address.is_loopback
    assert str(address).endswith(".2")
