"""Other people's mail servers in a topology: who is given which, and what cannot be."""

import pytest

from mxlab.errors import UnknownName, UsageError
from mxlab.model.topology import Client, Exchange, MailDomain, RelayHost, Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.plan.software import parse_software, with_software
from mxlab_services.config import MtaConfig

WIDE = Topology(
    domains=(MailDomain("other.test", (Exchange("mx3", 10), Exchange("mx1", 20))),),
    relays=(RelayHost("out", "relay.test", ("client",)),),
    smarthost="out",
    clients=(Client("client2", "second.test"),),
)


def software_of(topology: Topology) -> dict[str, str]:
    plan = make_plan("lab", "run", topology, AddressPlan("10.1.0.0/24"))
    return {node.node: node.software for node in plan.nodes if isinstance(node, MtaConfig)}


def test_every_mail_host_is_ours_unless_it_is_said() -> None:
    assert set(software_of(WIDE).values()) == {"mxlab"}


def test_every_mail_host_may_be_anothers() -> None:
    wanted = {
        "mx1": "postfix", "mx2": "exim", "mx3": "opensmtpd", "out": "postfix", "client": "exim",
        "client2": "opensmtpd",
    }  # fmt: skip
    given = with_software(WIDE, wanted)
    assert software_of(given) == wanted == dict(given.software)


def test_what_is_not_named_stays() -> None:
    first = with_software(Topology(), {"mx2": "postfix"})
    second = with_software(first, {"mx1": "exim"})
    assert software_of(second) == {"mx1": "exim", "mx2": "postfix", "client": "mxlab"}
    assert software_of(with_software(second, {"mx2": "mxlab"}))["mx2"] == "mxlab"


def test_a_host_or_a_software_that_is_not_there_is_told_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="no mail server is called 'mx22'") as host:
        with_software(Topology(), {"mx22": "postfix"})
    assert "did you mean 'mx2'?" in host.value.hint
    with pytest.raises(UnknownName, match="no software is called 'postfx'") as name:
        with_software(Topology(), {"mx2": "postfx"})
    assert "did you mean 'postfix'?" in name.value.hint
    with pytest.raises(UsageError, match="dns is a name server"):
        with_software(Topology(), {"dns": "postfix"})


@pytest.mark.parametrize("word", ["mx2", "mx2=", "=postfix", "", "="])
def test_what_is_no_host_with_a_software_is_refused(word: str) -> None:
    with pytest.raises(UsageError, match="is not HOST=SOFTWARE"):
        parse_software([word])


def test_a_host_with_settings_of_its_product_stays_with_it() -> None:
    own = Exchange("mx2", 20, software="postfix", product_settings={"mydestination": "x.test"})
    shape = Topology(mx=(Exchange("mx1", 10), own))
    plan = make_plan("l", "r", shape, AddressPlan("10.53.25.0/24"))
    settings = {n.node: n.product_settings for n in plan.nodes if isinstance(n, MtaConfig)}
    assert settings == {"mx1": {}, "mx2": {"mydestination": "x.test"}, "client": {}}
    assert with_software(shape, {"mx1": "exim", "mx2": "postfix"}).product_settings["mx2"]
    with pytest.raises(UsageError, match="mx2 has settings of Postfix's own: mydestination"):
        with_software(shape, {"mx2": "exim"})


def test_a_host_is_of_one_software() -> None:
    assert parse_software(["mx1=exim", "mx2=postfix", "mx1=exim"]) == {
        "mx1": "exim",
        "mx2": "postfix",
    }
    with pytest.raises(UsageError, match="mx1 cannot be both exim and postfix"):
        parse_software(["mx1=exim", "mx1=postfix"])
