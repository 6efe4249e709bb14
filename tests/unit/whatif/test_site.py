"""The lab that stands for somebody's zone file."""

import pytest

from mxlab.errors import ScenarioError, UsageError
from mxlab.model.topology import Topology
from mxlab.plan.checked import topology_problems
from mxlab.whatif.outage import outages
from mxlab.whatif.site import site_of_topology, site_of_zone
from tests.support.site_zone import ZONE


def test_a_zone_becomes_a_lab_with_its_preferences_and_times() -> None:
    site = site_of_zone(ZONE, "acme.example", "acme.zone")
    assert [(e.host, e.preference) for e in site.topology.mx] == [("mx1", 10), ("mx2", 20)]
    assert site.names == {
        "mx1": "mail.acme.example", "mx2": "backup.provider.example",
        "ns1": "ns1.acme.example", "ns2": "ns2.provider.example",
    }  # fmt: skip
    assert site.zone.splitlines() == [
        "$ORIGIN example.test.",
        "@ 86400 IN SOA ns1 hostmaster 7 14400 3600 1209600 600",
        "@ 86400 IN NS ns1",
        "@ 86400 IN NS ns2",
        "@ 300 IN MX 10 mx1",
        "@ 300 IN MX 20 mx2",
        "mx1 30 IN A {mx1}",
        "mx2 3600 IN A {mx2}",
        "ns1 86400 IN A {ns1}",
        "ns2 3600 IN A {ns2}",
    ]
    assert not list(topology_problems(site.topology))
    assert not site.warnings


def test_without_an_mx_the_domain_itself_takes_the_mail() -> None:
    zone = "@ 60 IN SOA ns h 1 2 3 4 5\n@ 60 IN NS ns\n@ 60 IN A 192.0.2.1\nns 60 IN A 192.0.2.9\n"
    site = site_of_zone(zone, "acme.example", "f")
    assert "MX" not in site.zone
    assert "@ 60 IN A {mx1}" in site.zone
    assert site.names["mx1"] == "acme.example"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("@ IN MX 0 .", "takes no mail"),
        ("www IN A 192.0.2.5", "neither an MX nor an address"),
        ("\n".join(f"@ IN MX 1 m{n}\nm{n} IN A 192.0.2.{n}" for n in range(17)), "17 exchanges"),
        ("\n".join(f"@ IN NS n{n}\n@ IN MX 1 m" for n in range(8)), "9 name servers"),
    ],
)
def test_what_no_lab_can_stand_for_is_refused(line: str, said: str) -> None:
    head = "$TTL 60\n@ IN SOA ns h 1 2 3 4 5\n@ IN NS ns\nns IN A 192.0.2.9\n"
    with pytest.raises(UsageError, match=said):
        site_of_zone(head + line + "\n", "acme.example", "f")


def test_each_wrong_line_is_told_with_its_place() -> None:
    with pytest.raises(ScenarioError) as caught:
        site_of_zone(ZONE + "x IN A 300.1.1.1\ny IN MX\n", "acme.example", "acme.zone")
    assert [(error.file, error.line) for error in caught.value.every] == [
        ("acme.zone", 10), ("acme.zone", 11),
    ]  # fmt: skip


def test_an_exchange_without_an_address_is_told() -> None:
    site = site_of_zone(ZONE.replace("mail 60", "mial 60"), "acme.example", "f")
    assert site_of_zone(ZONE.replace("mail", "mial"), "acme.example", "f").warnings
    assert not site.warnings  # it has an AAAA


def test_everything_fails_once_alone_and_in_pairs() -> None:
    names = [outage.name for outage in outages(site_of_zone(ZONE, "acme.example", "f"))]
    mail, backup = "mail.acme.example", "backup.provider.example"
    assert names == [
        mail, backup, f"{mail} and {backup}",
        "ns1.acme.example", "ns2.provider.example", "all name servers",
        f"the network between {mail} and {backup}", f"the network between {mail} and the senders",
    ]  # fmt: skip


def test_a_topology_is_taken_as_it_is() -> None:
    names = [outage.name for outage in outages(site_of_topology(Topology()))]
    assert names[:3] == ["mx1", "mx2", "mx1 and mx2"]
    assert "dns" in names
