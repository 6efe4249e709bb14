"""Exim's files, rendered: whole texts of three roles, and what each setting turns into."""

import random
from pathlib import Path

import pytest

from mxlab_services.config import (
    ClientConfig,
    Limits,
    MtaConfig,
    MxConfig,
    RetryConfig,
    SubmissionConfig,
    TimeConfig,
    Timeouts,
    TlsConfig,
)
from mxlab_services.errors import ConfigError
from mxlab_services.products.exim_config import (
    ALIASES,
    CONFIG,
    LETTERS,
    RECIPIENTS,
    RULES,
    queue_run,
    rendered,
)
from mxlab_services.queue.retry import SCHEDULES
from mxlab_services.storage.maildir import folder_of

GOLDEN = Path(__file__).parent / "exim"
TLS = TlsConfig("the certificate", "the key", "the authority")


def mx(**changes: object) -> MxConfig:
    given: dict[str, object] = {
        "node": "mx1", "address": "10.83.0.3", "hostname": "mx1.example.test",
        "dns": "10.83.0.2", "networks": ["10.83.0.0/24"], "software": "exim",
    }  # fmt: skip
    return MxConfig(**(given | changes))  # type: ignore[arg-type]


PRIMARY = mx(
    local_domains=["example.test"],
    recipients=["bob@example.test"],
    aliases={"team@example.test": ["bob@example.test", "carol@other.test"]},
)
BACKUP = mx(
    node="mx2", address="10.83.0.4", hostname="mx2.example.test", also="fd00::4",
    networks=["10.83.0.0/24", "fd00::/64"], relay_domains=["example.test", "b\u00fccher.test"],
    tls=TLS, retry=RetryConfig("exim"),
)  # fmt: skip
CLIENT = ClientConfig(
    node="client", address="10.83.0.5", hostname="client.client.test", dns="10.83.0.2",
    networks=["10.83.0.0/24"], submission_networks=["127.0.0.1/32", "10.83.0.0/24"],
    smarthost="mx2.example.test", software="exim",
)  # fmt: skip


def lines(config: MtaConfig) -> list[str]:
    return [line.strip() for line in rendered(config)[CONFIG].decode().splitlines()]


@pytest.mark.parametrize(
    ("name", "config"), [("primary", PRIMARY), ("backup", BACKUP), ("client", CLIENT)]
)
def test_the_whole_configuration(name: str, config: MtaConfig) -> None:
    assert rendered(config)[CONFIG].decode() == (GOLDEN / f"{name}.conf").read_text()


def test_the_tables_of_a_primary() -> None:
    files = rendered(PRIMARY)
    assert files[ALIASES] == b'"team@example.test": bob@example.test, carol@other.test\n'
    assert files[RECIPIENTS].splitlines() == [
        b'"bob@example.test": ', b'"bob@[10.83.0.3]": ', b'"postmaster@[10.83.0.3]": ',
        b'"postmaster@example.test": ',
    ]  # fmt: skip


def test_a_key_in_a_table_is_quoted() -> None:
    files = rendered(mx(local_domains=["example.test"], recipients=['"a\\\\b"@example.test']))
    assert files[RECIPIENTS].startswith(b'"\\"a\\\\\\\\b\\"@example.test": ')


def test_the_letters_make_the_folder_of_any_address() -> None:
    table = {}
    for row in rendered(PRIMARY)[LETTERS].decode("latin-1").split("\n")[:-1]:
        key, _, value = row[1:].rpartition('": ')
        table[key.replace('\\"', '"').replace("\\\\", "\\")] = value
    rng = random.Random(7)
    for _ in range(200):
        local = "".join(rng.choice("ab.+-_~%/ =!#'\"\\:\u00e4\u4e16") for _ in range(8))
        address = f"x{local}@example.test"
        octets = address.encode().decode("latin-1")
        assert "".join(table[f"={letter}="] for letter in octets) == folder_of(address)


def test_what_exim_cannot_be_told_is_refused() -> None:
    with pytest.raises(ConfigError, match="`submission`"):
        rendered(mx(submission=SubmissionConfig({"a": "b"}, TLS)))
    with pytest.raises(ConfigError, match="`roots`"):
        rendered(mx(roots=["10.83.0.9"]))
    with pytest.raises(ConfigError, match=r"no name that Exim can be told"):
        rendered(mx(relay_domains=["a.test ; *"]))
    with pytest.raises(ConfigError, match=r"retry\.schedule"):
        rendered(mx(retry=RetryConfig("nobody")))


def test_every_schedule_has_its_rules() -> None:
    assert set(RULES) == set(SCHEDULES)


@pytest.mark.parametrize(
    ("retry", "rule"),
    [
        (RetryConfig("workshop"), "G,64s,2s,1.5; F,86400s,30s"),
        (RetryConfig("exim"), "F,7200s,900s; G,57600s,3600s,1.5; F,345600s,21600s"),
        (RetryConfig("postfix"), "G,4000s,300s,2; F,432000s,4000s"),
        (RetryConfig("rfc", lifetime=1800.0), "F,1800s,1800s"),
        (RetryConfig("workshop", lifetime=64.0), "G,64s,2s,1.5"),
    ],
)
def test_a_schedule_as_exims_rules(retry: RetryConfig, rule: str) -> None:
    assert lines(mx(retry=retry))[-1] == f"* * {rule}"


def test_opensmtpds_growth_is_a_rule_for_each_attempt() -> None:
    words = lines(mx(retry=RetryConfig("opensmtpd")))[-1].removeprefix("* * ").split("; ")
    assert words[:3] == ["F,200s,400s", "F,1000s,1200s", "F,2600s,2000s"]
    assert words[-1].startswith("F,345600s,")


def test_lab_time_becomes_real_time_of_whole_seconds() -> None:
    config = mx(time=TimeConfig(60.0, 1.0), retry=RetryConfig("exim", warning=3600.0))
    assert lines(config)[-1] == "* * F,120s,15s; G,960s,60s,1.5; F,5760s,360s"
    assert "delay_warning = 60s:520w" in lines(config)
    fast = mx(time=TimeConfig(3600.0, 1.0), retry=RetryConfig("workshop"))
    assert lines(fast)[-1] == "* * G,1s,1s,1.5; F,24s,1s"


def test_timeouts_and_limits() -> None:
    limits = Limits(message_size=5, recipients=6, sessions=7, errors=8, line_length=9, hops=10)
    said = lines(mx(timeouts=Timeouts(connect=1.2, rcpt=30.0, dot=40.0), limits=limits))
    for line in (
        "connect_timeout = 2s", "command_timeout = 30s", "final_timeout = 40s",
        "message_size_limit = 5", "recipients_max = 6", "smtp_accept_max = 7",
        "smtp_max_synprot_errors = 8", "message_linelength_limit = 9", "received_headers_max = 10",
    ):  # fmt: skip
        assert line in said


@pytest.mark.parametrize(
    ("schedule", "scale", "seconds"), [("workshop", 1.0, 1), ("exim", 1.0, 90), ("exim", 60.0, 1)]
)
def test_queue_runs_come_often_enough(schedule: str, scale: float, seconds: int) -> None:
    assert queue_run(mx(time=TimeConfig(scale, 1.0), retry=RetryConfig(schedule))) == seconds


def test_what_etrn_may_name() -> None:
    assert rendered(mx(relay_domains=["example.test"]))["etrn"] == (
        b'"example.test": @example.test\n"@example.test": example.test\n'
    )
