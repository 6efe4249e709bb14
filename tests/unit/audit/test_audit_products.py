"""What a product is told in its own words goes before what the lab tells it, and is judged."""

import pytest

from mxlab.audit.every import hold
from mxlab.audit.of_topology import setup_of_topology
from mxlab.model.topology import Exchange, Topology
from mxlab_services.config import Software


def flaws(software: Software, rule: str, settings: dict[str, str]) -> list[str]:
    backup = Exchange("mx2", 20, software=software, product_settings=settings)
    topology = Topology(
        mx=(Exchange("mx1", 10), backup), lifetime=432_000.0, warning=3600.0,
        recipients=("bob@example.test",),
    )  # fmt: skip
    (found,) = hold(
        setup_of_topology(topology, "it", lambda path: ".".join(map(str, path))), [rule]
    )
    return [f"{flaw.place}: {flaw.text}" for flaw in found.flaws]


@pytest.mark.parametrize(
    ("software", "rule", "settings", "said"),
    [
        ("postfix", "backup-lifetime", {"maximal_queue_lifetime": "36h"}, "1d12h"),
        ("postfix", "backup-lifetime", {"maximal_queue_lifetime": "3"}, "3d"),
        ("postfix", "tell-the-sender", {"delay_warning_time": "0"}, "tells nobody"),
        ("postfix", "tell-the-sender", {"delay_warning_time": "200"}, "before that"),
        ("postfix", "same-size-limit", {"message_size_limit": "99999999"}, "99999999"),
        ("postfix", "same-size-limit", {"message_size_limit": "0"}, "any number"),
        ("exim", "same-size-limit", {"message_size_limit": "99999999"}, "99999999"),
        ("postfix", "backup-knows-recipients", {"relay_recipient_maps": ""}, "any address"),
        ("postfix", "backup-forwards", {"mydestination": "example.test, x"}, "as its own"),
        ("postfix", "backup-forwards", {"virtual_mailbox_domains": "example.test"}, "as its own"),
        ("postfix", "exchange-agreed", {"relay_domains": "other.test"}, "was not told"),
        ("postfix", "no-open-relay", {"mynetworks": "127.0.0.0/8, 0.0.0.0/0"}, "0.0.0.0/0"),
        ("postfix", "no-open-relay", {"mynetworks": "[::]/0"}, "[::]/0"),
        ("postfix", "no-open-relay", {"mynetworks": "198.0.0.0/8"}, "198.0.0.0/8"),
        ("postfix", "no-open-relay", {"smtpd_relay_restrictions": "permit"}, "everybody"),
        ("exim", "no-open-relay", {"hostlist submitters": "*"}, "everybody"),
        ("exim", "backup-keeps-trying", {"retry": " "}, "no retry rule"),
    ],
)
def test_a_wrong_setting_is_found(
    software: Software, rule: str, settings: dict[str, str], said: str
) -> None:
    (found,) = flaws(software, rule, settings)
    assert said in found
    assert found.startswith("mx.1")


@pytest.mark.parametrize(
    ("software", "rule", "settings"),
    [
        ("postfix", "backup-lifetime", {"maximal_queue_lifetime": "1w"}),
        ("postfix", "backup-lifetime", {"maximal_queue_lifetime": "$bounce_queue_lifetime"}),
        ("postfix", "no-open-relay", {"mynetworks": "127.0.0.0/8 hash:/etc/postfix/friends"}),
        ("postfix", "no-open-relay", {
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination"}),
        ("postfix", "backup-knows-recipients", {"relay_recipient_maps": "hash:/etc/list"}),
        ("exim", "backup-keeps-trying", {"retry": "* * F,4d,15m"}),
        ("exim", "no-open-relay", {"hostlist submitters": "127.0.0.1 : ::::1"}),
    ],
)  # fmt: skip
def test_a_right_one_is_not(software: Software, rule: str, settings: dict[str, str]) -> None:
    assert not flaws(software, rule, settings)


def test_the_place_is_the_setting_that_decides() -> None:
    (found,) = flaws("postfix", "backup-lifetime", {"maximal_queue_lifetime": "1h"})
    assert found.startswith("mx.1.product_settings.maximal_queue_lifetime:")
