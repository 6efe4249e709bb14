"""Settings in a product's own words: which can be, and where they stand."""

import pytest
from msgspec.structs import replace

from mxlab_services.config import MxConfig, Software
from mxlab_services.products import exim_config, postfix_config
from mxlab_services.products.own_settings import LONGEST, problem_of_setting, with_settings

BACKUP = MxConfig(
    node="mx2", address="10.83.2.4", hostname="mx2.example.test", software="postfix",
    dns="10.83.2.2", networks=["10.83.2.0/24"], relay_domains=["example.test"],
    recipients=["bob@example.test"],
)  # fmt: skip


@pytest.mark.parametrize(
    ("software", "name", "value"),
    [
        ("mxlab", "relay_recipient_maps", ""),
        ("opensmtpd", "queue", "ttl 4d"),
        ("postfix", "Relay", "x"),
        ("postfix", "relay_recipient_maps ", "x"),
        ("postfix", "relay-recipient-maps", "x"),
        ("postfix", "", "x"),
        ("postfix", "queue_directory", "/tmp"),
        ("postfix", "mydestination", "a\nqueue_directory = /tmp"),
        ("postfix", "mydestination", "a\x1b[31m"),
        ("postfix", "mydestination", "x" * (LONGEST + 1)),
        ("exim", "spool_directory", "/tmp"),
        ("exim", ".include", "/etc/passwd"),
        ("exim", "begin", "acl\nx"),
        ("exim", "delay_warning", "2h\\"),
        ("exim", "macro X", "y"),
    ],
)
def test_what_cannot_be_set(software: Software, name: str, value: str) -> None:
    assert problem_of_setting(software, name, value)


@pytest.mark.parametrize(
    ("software", "name", "value"),
    [
        ("postfix", "relay_recipient_maps", ""),
        ("postfix", "mydestination", "example.test, $myhostname"),
        ("exim", "retry", ""),
        ("exim", "retry", "* * F,2h,15m"),
        ("exim", "domainlist local_domains", "example.test"),
    ],
)
def test_what_can_be_set(software: Software, name: str, value: str) -> None:
    assert problem_of_setting(software, name, value) == ""


def test_a_setting_stands_in_the_place_of_ours_once() -> None:
    lines = ["a = 1", "b = 2", "flag"]
    settings = {"b": "", "c": "x = y", "flag": "false"}
    assert with_settings(lines, settings) == ["a = 1", "b =", "flag = false", "c = x = y"]


def test_postfix_takes_it_into_main_cf() -> None:
    own = {"relay_recipient_maps": "", "relay_destination_concurrency_limit": "2"}
    before = postfix_config.rendered(BACKUP)["main.cf"].splitlines()
    after = postfix_config.rendered(replace(BACKUP, product_settings=own))["main.cf"].splitlines()
    (changed,) = [line for line in before if line.startswith("relay_recipient_maps")]
    assert changed != "relay_recipient_maps ="
    assert set(before) ^ set(after) == {
        changed, "relay_recipient_maps =", "relay_destination_concurrency_limit = 2",
    }  # fmt: skip


def test_exim_takes_it_into_its_main_section_and_its_retry_rules() -> None:
    own = {"retry": "", "domainlist local_domains": "example.test", "smtp_banner": "hello"}
    config = replace(BACKUP, software="exim", product_settings=own)
    text = exim_config.rendered(config)[exim_config.CONFIG].decode()
    main, _, rest = text.partition("\nbegin acl\n")
    assert "\ndomainlist local_domains = example.test\n" in main
    assert main.count("domainlist local_domains") == 1
    assert main.endswith("\nsmtp_banner = hello\n")
    assert rest.endswith("\nbegin retry\n\n")
    assert "\nretry =" not in text
