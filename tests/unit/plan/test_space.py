"""Which networks belong together."""

import ipaddress

import pytest

from mxlab.model.topology import Topology
from mxlab.plan.space import Space, four_of, six_of


@pytest.mark.parametrize("subnet", ["10.83.5.0/24", "172.29.0.0/24", "10.0.0.64/26", "10.0.0.0/8"])
def test_a_network_of_ipv6_names_the_one_of_ipv4_beside_it(subnet: str) -> None:
    six = str(six_of(ipaddress.IPv4Network(subnet)))
    topology = Topology(ip=(6,))
    assert four_of(subnet) == subnet
    before, after = Space(topology, subnet), Space(topology, four_of(six))
    assert [after.endpoint(host) for host in after.hosts] == [
        before.endpoint(host) for host in before.hosts
    ]
