"""OpenSMTPD's files, rendered: whole texts of three roles, and what each setting turns into."""

import asyncio
import subprocess
from pathlib import Path

import pytest

from mxlab.backends.docker import image_store
from mxlab.backends.docker.products import PRODUCTS, ensure_product
from mxlab_services.config import (
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
from mxlab_services.products.opensmtpd_config import (
    ALIASES,
    ANYBODY,
    CERTIFICATE,
    CONFIG,
    KEY,
    KNOWN,
    NEVER,
    USERS,
    rendered,
)
from tests.support.programs import needs

GOLDEN = Path(__file__).parent / "opensmtpd"
TLS = TlsConfig("the certificate", "the key", "the authority")


def mx(**changes: object) -> MxConfig:
    given: dict[str, object] = {
        "node": "mx1", "address": "10.83.0.3", "hostname": "mx1.example.test",
        "dns": "10.83.0.2", "networks": ["10.83.0.0/24"], "software": "opensmtpd",
    }  # fmt: skip
    return MxConfig(**(given | changes))  # type: ignore[arg-type]


PRIMARY = mx(
    local_domains=["example.test", "open.test"],
    open_domains=["open.test"],
    recipients=["bob@example.test", "O'Neil@example.test"],
    aliases={
        "team@example.test": ["bob@example.test", "carol@other.test"],
        "self@example.test": ["self@example.test", "bob@example.test"],
        "all@open.test": ["all@open.test", "bob@example.test"],
    },
)
BACKUP = mx(
    node="mx2", address="10.83.0.4", hostname="mx2.example.test", also="fd00::4",
    networks=["10.83.0.0/24", "fd00::/64"], relay_domains=["example.test", "open.test"],
    recipients=["bob@example.test"], open_domains=["open.test"], tls=TLS,
    retry=RetryConfig("opensmtpd"),
)  # fmt: skip
CLIENT = ClientConfig(
    node="client", address="10.83.0.5", hostname="client.client.test", dns="10.83.0.2",
    networks=["10.83.0.0/24"], submission_networks=["127.0.0.1/32", "10.83.0.0/24"],
    local_domains=["client.test"], smarthost="mx2.example.test", software="opensmtpd",
)  # fmt: skip
ROLES = {"primary": PRIMARY, "backup": BACKUP, "client": CLIENT}


def lines(config: MtaConfig, name: str = CONFIG) -> list[str]:
    return rendered(config).files[name].splitlines()


@pytest.mark.parametrize("role", ROLES)
def test_a_whole_configuration(role: str) -> None:
    assert rendered(ROLES[role]).files[CONFIG] == (GOLDEN / f"{role}.conf").read_text()


def test_every_known_mailbox_is_the_home_of_a_user() -> None:
    told = rendered(PRIMARY)
    assert told.folders[:2] == ("bob@example.test", "o%27neil@example.test")
    users = dict(line.split(" ") for line in lines(PRIMARY, USERS))
    assert users["u1"] == "2525:2525:/var/lib/mxlab/mailboxes/o%27neil@example.test"
    addresses = dict(line.split(" ", 1) for line in lines(PRIMARY, ALIASES))
    assert addresses["o'neil@example.test"] == "u1"
    assert addresses["team@example.test"] == "bob@example.test, carol@other.test"
    assert addresses["postmaster@mx1.example.test"] == "postmaster@example.test"
    own, bob = addresses["self@example.test"].split(", ")
    assert (users[own].rpartition("/")[2], bob) == ("self@example.test", "bob@example.test")
    assert set(addresses) == set(lines(PRIMARY, KNOWN)[1:])
    assert not any("open.test" in address for address in addresses)


def test_in_an_open_domain_everybody_has_a_mailbox() -> None:
    assert lines(PRIMARY, ANYBODY) == ["all@open.test mxlab, bob@example.test", "@open.test mxlab"]
    assert lines(CLIENT, ANYBODY) == ["@client.test mxlab", "@[10.83.0.5] mxlab"]


def test_a_backup_knows_whom_the_primary_does_and_its_postmaster() -> None:
    assert lines(BACKUP, KNOWN) == [
        "# @list", "postmaster@mx2.example.test", "postmaster@example.test",
        "postmaster@open.test", "bob@example.test",
    ]  # fmt: skip
    assert "match from any for domain <relayed> reject" in lines(BACKUP)
    any_local_part = lines(mx(relay_domains=["example.test"]))
    assert "match from any for domain <relayed> reject" not in any_local_part
    assert 'match from any for domain <relayed_open> action "backup"' in any_local_part


def test_tls() -> None:
    files = rendered(BACKUP).files
    assert (files[CERTIFICATE], files[KEY]) == ("the certificate", "the key")
    assert not {CERTIFICATE, KEY} & set(rendered(PRIMARY).files)


@pytest.mark.parametrize(
    ("retry", "scale", "ttl", "warning"),
    [
        (RetryConfig("opensmtpd"), 1.0, 345600, 14400),
        (RetryConfig("opensmtpd"), 3600.0, 96, 4),
        (RetryConfig("workshop", lifetime=90.0), 1.0, 90, NEVER),
        (RetryConfig("workshop", lifetime=90.5, warning=0.2), 1.0, 91, 1),
    ],
)
def test_lifetime_and_warning(retry: RetryConfig, scale: float, ttl: int, warning: int) -> None:
    said = lines(mx(retry=retry, time=TimeConfig(scale, 1.0)))
    assert f"queue ttl {ttl}s" in said
    assert f"bounce warn-interval {warning}s" in said


def test_limits() -> None:
    said = lines(mx(limits=Limits(message_size=5, recipients=6)))
    assert "smtp max-message-size 5" in said
    assert "smtp limit max-rcpt 6 max-mails 10000" in said
    assert not [line for line in said if line.startswith("mta limit max-conn")]
    one = lines(mx(limits=Limits(destination_concurrency=1)))
    assert "mta limit max-conn-per-domain 1" in one


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"submission": SubmissionConfig({}, TLS)}, "submission"),
        ({"roots": ["10.83.0.9"]}, "roots"),
        ({"smtp_port": 2526}, "smtp_port"),
        ({"hostname": 'mx1" reject'}, "mx1"),
        ({"relay_domains": ["a b.test"]}, "a b"),
        ({"local_domains": ["a.test"], "aliases": {"x@a.test": ["|sh@a.test"]}}, "aliases"),
        ({"local_domains": ["a.test"], "aliases": {'"x y"@a.test': ["b@a.test"]}}, "aliases"),
    ],
)
def test_what_it_cannot_be_told_is_refused(changes: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        rendered(mx(**changes))


def test_a_recipient_that_its_tables_cannot_hold_is_left_out() -> None:
    config = mx(
        local_domains=["a.test"], recipients=['"x y"@a.test', "b\u00fc@a.test", "#b@a.test"]
    )
    assert lines(config, KNOWN) == [
        "# @list", "postmaster@a.test", "postmaster@[10.83.0.3]", "postmaster@mx1.example.test",
    ]  # fmt: skip


async def image() -> str:
    async with image_store() as store:
        return await ensure_product(store, print, PRODUCTS["opensmtpd"])


@pytest.mark.docker
@needs("docker")
@pytest.mark.parametrize("role", ROLES)
def test_opensmtpd_takes_it(role: str, tmp_path: Path) -> None:
    config = ROLES[role]
    home = tmp_path / "opensmtpd"
    home.mkdir()
    files = dict(rendered(config).files)
    if config.tls is not None:  # it reads them
        made = ("openssl req -x509 -newkey rsa:2048 -nodes -days 9 -subj /CN=mx2.example.test "
                f"-keyout {home / KEY} -out {home / CERTIFICATE}")  # fmt: skip
        subprocess.run(made.split(), check=True, capture_output=True)
        files = {name: text for name, text in files.items() if name not in (CERTIFICATE, KEY)}
    for name, text in files.items():
        (home / name).write_text(text)
    command = [
        "docker", "run", "--rm", "--network", "none", "--user", "0:0", "--entrypoint", "smtpd",
        "-v", f"{home}:/var/lib/mxlab/opensmtpd", asyncio.run(image()), "-n", "-f",
        f"/var/lib/mxlab/opensmtpd/{CONFIG}",
    ]  # fmt: skip
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr.strip()) == (0, "configuration OK")
