"""The Compose file is the exported default lab, to the letter, and describes the plan's nodes."""

import json

import pytest
import yaml

from mxlab.assets import assets
from mxlab.backends.docker.compose import export_compose
from mxlab.backends.docker.shape import CONFIG, LAB, NODE, RIGHTS, ROLE, TOPOLOGY, decode_topology
from mxlab.errors import UsageError
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.software import with_software
from mxlab_services.config import decode_config


def test_file_and_export_are_the_same() -> None:
    assert (assets("compose") / "compose.yaml").read_text() == export_compose(), (
        "renew it: mxlab export compose > compose/compose.yaml"
    )


def test_a_lab_of_our_own_software_is_written_as_before() -> None:
    assert with_software(Topology(), {}) == Topology()
    assert export_compose(with_software(Topology(), {})) == export_compose()


def test_every_host_is_a_hardened_service_with_its_own_address() -> None:
    document = yaml.safe_load(export_compose())
    services = document["services"]
    assert list(services) == list(Topology().hosts)
    addresses = [s["networks"]["lab"]["ipv4_address"] for s in services.values()]
    assert len(set(addresses)) == len(services)
    for service in services.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["user"] == "2525:2525"
        assert service["dns"] == [addresses[0]]
    assert document["networks"]["lab"]["internal"] is True


def test_configuration_survives_composes_variables() -> None:
    services = yaml.safe_load(export_compose())["services"]
    for name, service in services.items():
        raw = service["environment"][CONFIG]
        assert "$" not in raw.replace("$$", "")
        config = decode_config(raw.replace("$$", "$"))
        assert config.node == name == service["labels"][NODE]
        assert json.loads(raw.replace("$$", "$"))["role"] == service["labels"][ROLE]


def test_labels_tell_the_lab_and_the_topology() -> None:
    topology = Topology(mx=(Exchange("a", 5), Exchange("b", 5), Exchange("c", 7)))
    services = yaml.safe_load(export_compose(topology, "three"))["services"]
    for service in services.values():
        assert service["labels"][LAB] == "three"
        assert decode_topology(service["labels"][TOPOLOGY]) == topology


def test_name_that_docker_cannot_have_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="cannot be the name of a lab"):
        export_compose(lab="Not A Name")


def test_a_product_has_its_image_and_keeps_its_capabilities() -> None:
    text = export_compose(with_software(Topology(), {"mx2": "postfix"}))
    services = yaml.safe_load(text)["services"]
    assert services["mx2"]["image"] == "${MXLAB_POSTFIX_IMAGE:-mxlab-postfix:latest}"
    assert services["mx2"]["cap_drop"] == ["ALL"]
    assert services["mx2"]["cap_add"] == list(RIGHTS["postfix"].capabilities)
    assert services["mx2"]["user"] == "0:0"
    assert "cap_add" not in services["mx1"]
    assert "with `--product postfix`" in text.partition("services:")[0]
