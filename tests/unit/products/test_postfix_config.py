"""Postfix's configuration, and that of its tables, from an MTA's."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from mxlab_services.address import canonical
from mxlab_services.config import (
    PATIENCE,
    ClientConfig,
    Limits,
    MtaConfig,
    MxConfig,
    RetryConfig,
    SubmissionConfig,
    TimeConfig,
    TlsConfig,
)
from mxlab_services.errors import ConfigError
from mxlab_services.products.postfix_config import rendered
from mxlab_services.queue.retry import SCHEDULES
from mxlab_services.storage.maildir import folder_of

TLS = TlsConfig("CERTIFICATE\n", "KEY\n", "CA\n")
BACKUP = MxConfig(
    node="mx2", address="10.83.2.4", hostname="mx2.example.test", software="postfix",
    dns="10.83.2.2", networks=["10.83.2.0/24"], relay_domains=["example.test"],
)  # fmt: skip
PRIMARY = replace(BACKUP, node="mx1", relay_domains=[], local_domains=["example.test"])
CLIENT = ClientConfig(
    node="client", address="10.83.2.5", hostname="client.client.test", software="postfix",
    dns="10.83.2.2", networks=["10.83.2.0/24"], local_domains=["client.test"],
    submission_networks=["10.83.2.5/32", "127.0.0.1/32", "2001:db8::5/128"],
)  # fmt: skip


def main(config: MtaConfig) -> dict[str, str]:
    lines = rendered(config)["main.cf"].splitlines()
    return {key: value.strip() for key, _, value in (line.partition(" =") for line in lines)}


def table(config: MtaConfig, name: str) -> dict[str, str]:
    entries = (line.partition(" ") for line in rendered(config)[name].splitlines())
    return {key: value for key, _, value in entries}


def test_main_cf_of_a_backup_as_a_whole() -> None:
    golden = Path(__file__).parent / "postfix-backup.main.cf"
    assert rendered(BACKUP)["main.cf"] == golden.read_text()


def test_a_backup_knows_its_recipients_or_takes_any() -> None:
    assert main(BACKUP)["relay_recipient_maps"] == ""
    known = replace(BACKUP, recipients=["Bob@Example.test", "c@other.test"])
    assert main(known)["relay_recipient_maps"].startswith("texthash:")
    assert set(table(known, "recipients")) == {"postmaster@example.test", "bob@example.test"}
    half = replace(known, relay_domains=["example.test", "other.test"], open_domains=["other.test"])
    assert table(half, "recipients")["@other.test"] == "any"


def test_nobody_is_an_empty_list_and_not_anybody() -> None:
    nobody = replace(BACKUP, recipients=[])
    assert main(nobody)["relay_recipient_maps"].startswith("texthash:")
    assert set(table(nobody, "recipients")) == {"postmaster@example.test"}


def test_a_primarys_mailboxes_have_our_folders() -> None:
    known = replace(PRIMARY, recipients=["o'neil/x@example.test"])
    assert table(known, "mailboxes") == {
        "postmaster@example.test": "postmaster@example.test/",
        "o'neil/x@example.test": "o%27neil%2Fx@example.test/",
    }
    assert "any.cf" not in rendered(known)
    assert "sqlite" not in main(known)["virtual_mailbox_maps"]
    assert "domain = example.test\n" in rendered(PRIMARY)["any.cf"]


def folder_by_query(address: str) -> str:
    line = next(
        line for line in rendered(PRIMARY)["any.cf"].splitlines() if line.startswith("query")
    )
    before, after = line.removeprefix("query = ").replace("%%", "%").split("%s")
    query = before + address.replace("'", "''") + after
    (found,) = sqlite3.connect(":memory:").execute(query).fetchone()
    return str(found)


@given(st.from_regex(r"\.?[a-z0-9!#$%&'*+/=?^_`{|}~. -]{1,40}@example\.test", fullmatch=True))
def test_the_query_names_any_mailbox_as_we_do(address: str) -> None:
    assert folder_by_query(address) == f"{folder_of(address)}/"


@pytest.mark.parametrize("address", ["grüße@example.test", "Bob@Example.test"])
def test_the_query_takes_letters_of_all_kinds(address: str) -> None:
    assert folder_by_query(address) == f"{folder_of(canonical(address))}/"


def test_aliases_and_addresses_with_the_hosts_own_address() -> None:
    config = replace(
        PRIMARY, recipients=["bob@example.test"],
        aliases={"team@example.test": ["bob@example.test", "carol@client.test"]},
    )  # fmt: skip
    assert table(config, "aliases") == {
        "team@example.test": "bob@example.test, carol@client.test",
        "postmaster@[10.83.2.4]": "postmaster@example.test",
        "bob@[10.83.2.4]": "bob@example.test",
    }
    assert table(PRIMARY, "aliases")["@[10.83.2.4]"] == "@example.test"
    assert set(table(BACKUP, "aliases")) == {"postmaster@[10.83.2.4]"}


@pytest.mark.parametrize(
    ("schedule", "scale", "least", "most", "run"),
    [
        ("postfix", 1.0, "300s", "4000s", "300s"),
        ("postfix", 60.0, "5s", "67s", "5s"),
        ("postfix", 36000.0, "1s", "1s", "1s"),
        ("workshop", 1.0, "2s", "30s", "1s"),
        ("exim", 1.0, "900s", "27338s", "300s"),
        ("rfc", 1.0, "1800s", "7200s", "300s"),
    ],
)
def test_schedules(schedule: str, scale: float, least: str, most: str, run: str) -> None:
    time = TimeConfig(scale, 1.0)
    found = main(replace(BACKUP, retry=RetryConfig(schedule), time=time))
    assert (found["minimal_backoff_time"], found["maximal_backoff_time"]) == (least, most)
    assert found["queue_run_delay"] == run


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_has_two_bounds(schedule: str) -> None:
    found = main(replace(BACKUP, retry=RetryConfig(schedule)))
    least, most = (int(found[f"{m}imal_backoff_time"][:-1]) for m in ("min", "max"))
    assert 1 <= int(found["queue_run_delay"][:-1]) <= least <= most


def test_lifetime_and_warning_are_in_real_seconds() -> None:
    retry = RetryConfig("postfix", lifetime=7200.0, warning=600.0)
    found = main(replace(BACKUP, retry=retry, time=TimeConfig(60.0, 1.0)))
    assert found["maximal_queue_lifetime"] == found["bounce_queue_lifetime"] == "121s"
    assert found["delay_warning_time"] == "10s"
    assert main(BACKUP)["delay_warning_time"] == "0s"
    assert (
        main(replace(BACKUP, retry=RetryConfig("postfix")))["maximal_queue_lifetime"] == "432000s"
    )


def test_timeouts_and_limits() -> None:
    limits = Limits(message_size=1000, recipients=100, destination_concurrency=1, errors=3)
    found = main(replace(BACKUP, timeouts=PATIENCE["rfc"], limits=limits))
    assert found["smtp_connect_timeout"] == "180s"
    assert found["smtp_data_done_timeout"] == "600s"
    assert found["message_size_limit"] == "1000"
    assert found["default_destination_concurrency_limit"] == "1"
    assert found["initial_destination_concurrency"] == "1"


def test_a_client_relays_for_its_own_and_a_smarthost_takes_all() -> None:
    assert main(CLIENT)["mynetworks"] == "10.83.2.5/32 127.0.0.1/32 [2001:db8::5]/128"
    assert main(BACKUP)["mynetworks"] == ""
    relayed = replace(CLIENT, smarthost="relay.isp.test")
    assert main(relayed)["relayhost"] == "[relay.isp.test]"


def test_tls_is_offered_and_used_with_a_certificate_alone() -> None:
    assert "smtpd_tls_chain_files" not in main(BACKUP)
    files = rendered(replace(BACKUP, tls=TLS))
    assert files["tls.pem"] == "KEY\nCERTIFICATE\n"
    assert "smtp_tls_security_level = may" in files["main.cf"]


def test_families() -> None:
    both = replace(BACKUP, also="2001:db8::4")
    only = replace(BACKUP, address="2001:db8::4")
    for config, wanted, sends in ((BACKUP, "ipv4", 0), (both, "all", 0), (only, "all", 2)):
        assert main(config)["inet_protocols"] == wanted
        assert rendered(config)["master.cf"].count("-o inet_protocols=ipv6") == sends


def test_master_cf_has_no_chroot_and_one_door() -> None:
    lines = rendered(BACKUP)["master.cf"].splitlines()
    assert {line.split()[4] for line in lines} == {"n"}
    (door,) = [line for line in lines if line.split()[1] == "inet"]
    assert door.startswith("127.0.0.1:2525 inet ")
    assert door.endswith("smtpd -o smtpd_upstream_proxy_protocol=haproxy")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("roots", ["10.83.2.9"]),
        ("dns_port", 5353),
        ("submission", SubmissionConfig({"alice": "secret"}, TLS)),
    ],
)
def test_what_postfix_cannot_be_told_is_refused_by_name(key: str, value: Any) -> None:
    with pytest.raises(ConfigError, match=f"`{key}`"):
        rendered(replace(BACKUP, **{key: value}))
