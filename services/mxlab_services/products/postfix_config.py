"""Postfix's configuration from an MTA's: main.cf, master.cf, and the tables that they name. Pure.

All lies below the data volume: the configuration in `etc`, the queue in `queue`, Postfix's own data
in `lib`. What is not named here is as Postfix 3.7 has it.
"""

import math
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from mxlab_services.config import MtaConfig, Timeouts
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ConfigError
from mxlab_services.products.base import INNER_HOST, INNER_PORT
from mxlab_services.products.own_settings import with_settings
from mxlab_services.products.postfix_tables import (
    aliases,
    any_mailbox,
    first_domain,
    mailboxes,
    open_domains,
    relayed,
    table,
)
from mxlab_services.queue.retry import HOUR, schedule_of

OWNER = 2525  # user and group of the mailboxes, as of our own primary's
PROCESSES = 40  # of one kind; a node's container has room for not many more than a hundred
PEOPLE = 5  # connections to a destination at first, as Postfix has it
QUEUE_RUN = 300.0  # lab seconds between looks at the deferred queue, as Postfix has it


class Folders(Struct, frozen=True):
    """Where a node's Postfix keeps what."""

    data: Path

    @property
    def etc(self) -> Path:
        return self.data / "postfix" / "etc"

    @property
    def queue(self) -> Path:
        return self.data / "postfix" / "queue"

    @property
    def lib(self) -> Path:
        return self.data / "postfix" / "lib"

    @property
    def mailboxes(self) -> Path:
        return self.data / "mailboxes"


def rendered(config: MtaConfig) -> dict[str, str]:
    """Each file of the configuration by its name below `etc`. Raises ConfigError for what Postfix
    cannot be told."""
    _check(config)
    places = Folders(Path(config.data))
    files = {
        "main.cf": _lines(
            with_settings(
                (f"{key} = {value}".rstrip() for key, value in _main(config, places).items()),
                config.product_settings,
            )
        ),
        "master.cf": _master(config),
        "aliases": table(aliases(config)),
        "recipients": table(relayed(config)),
        "mailboxes": table(mailboxes(config)),
    }
    if open_domains(config):
        files["any.cf"] = any_mailbox(config)
    if config.tls is not None:
        files["tls.pem"] = f"{config.tls.key.strip()}\n{config.tls.certificate.strip()}\n"
        files["ca.pem"] = config.tls.ca
    return files


def _check(config: MtaConfig) -> None:
    for key, wrong in (
        ("roots", "Postfix asks a resolver, and cannot begin at the root itself"),
        ("submission", "there are no passwords (SASL) in this image of Postfix"),
    ):
        if getattr(config, key):
            raise ConfigError(f"configuration: `{key}`: {wrong}")
    if config.dns_port != 53:
        raise ConfigError("configuration: `dns_port`: Postfix asks a resolver at port 53 only")


def _main(config: MtaConfig, places: Folders) -> dict[str, str]:
    return {
        **_itself(config, places),
        **_addresses(config, places),
        **_bounds(config),
        **_times(config),
        **_tls(config, places),
    }


def _itself(config: MtaConfig, places: Folders) -> dict[str, str]:
    """Who and where it is, and what it writes."""
    has_six = any(":" in address for address in config.addresses)
    return {
        "compatibility_level": "3.7",
        "queue_directory": str(places.queue),
        "data_directory": str(places.lib),
        "maillog_file": "/dev/stdout",
        "enable_long_queue_ids": "yes",
        "myhostname": fold_domain(config.hostname),
        "myorigin": first_domain(config),
        "mydestination": "",
        "inet_protocols": "all" if has_six else "ipv4",
        "inet_interfaces": "loopback-only",
        "proxy_interfaces": " ".join(config.addresses),
        "biff": "no",
        "notify_classes": "",
        "smtpd_peername_lookup": "no",
        "enable_original_recipient": "no",
        "local_header_rewrite_clients": "",
        "message_drop_headers": "return-path",
        "smtpd_discard_ehlo_keywords": "chunking silent-discard",
        "relayhost": f"[{config.smarthost}]" if config.smarthost else "",
    }


def _addresses(config: MtaConfig, places: Folders) -> dict[str, str]:
    """Whose mail it takes, and where it goes."""
    etc, known = places.etc, config.recipients is not None
    boxes = [f"texthash:{etc}/mailboxes"]
    if open_domains(config):  # without one, the query would be for every domain
        boxes.append(f"sqlite:{etc}/any.cf")
    return {
        "mynetworks": " ".join(map(_network, config.submission_networks)),
        "parent_domain_matches_subdomains": "",
        "recipient_delimiter": "+",
        "propagate_unmatched_extensions": "",
        "swap_bangpath": "no",
        "allow_percent_hack": "no",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": f"texthash:{etc}/aliases",
        "local_transport": "virtual",
        "virtual_alias_domains": "",
        "virtual_alias_maps": f"texthash:{etc}/aliases",
        "virtual_mailbox_domains": " ".join(map(fold_domain, config.local_domains)),
        "virtual_mailbox_base": str(places.mailboxes),
        "virtual_mailbox_maps": " ".join(boxes),
        "virtual_uid_maps": f"static:{OWNER}",
        "virtual_gid_maps": f"static:{OWNER}",
        "relay_domains": " ".join(map(fold_domain, config.relay_domains)),
        "relay_recipient_maps": f"texthash:{etc}/recipients" if known else "",
        "smtpd_relay_restrictions": "permit_mynetworks reject_unauth_destination",
        # The last one refuses nothing: it has each recipient that is taken written to the log.
        "smtpd_recipient_restrictions": "reject_unlisted_recipient "
        "check_recipient_access static:{INFO taken}",
    }


def _bounds(config: MtaConfig) -> dict[str, str]:
    limits, schedule = config.limits, schedule_of(config.retry)
    most = min(limits.destination_concurrency, PROCESSES)
    return {
        "default_process_limit": str(PROCESSES),
        "message_size_limit": str(limits.message_size),
        "mailbox_size_limit": "0",
        "virtual_mailbox_limit": "0",
        "smtpd_recipient_limit": str(limits.recipients),
        "hopcount_limit": str(min(limits.hops, schedule.hops)),
        "smtpd_client_connection_count_limit": str(limits.sessions_per_client),
        "smtpd_hard_error_limit": str(limits.errors),
        "default_destination_concurrency_limit": str(most),
        "initial_destination_concurrency": str(min(PEOPLE, most)),
    }


def _times(config: MtaConfig) -> dict[str, str]:
    """Postfix waits as long as a message is old, between two bounds; these are the shortest and the
    longest wait of the schedule. Its grain is the second."""
    schedule, scale = schedule_of(config.retry), config.time.scale
    least, most = _waits(config)
    return {
        "minimal_backoff_time": _seconds(least / scale),
        "maximal_backoff_time": _seconds(most / scale),
        "queue_run_delay": f"{_queue_run(config)}s",
        "maximal_queue_lifetime": _lifetime(schedule.lifetime / scale),
        "bounce_queue_lifetime": _lifetime(schedule.lifetime / scale),
        "delay_warning_time": _seconds(schedule.warning / scale) if schedule.warning else "0s",
        **_patience(config.timeouts),
    }


def _waits(config: MtaConfig) -> tuple[float, float]:
    """The schedule's shortest and longest wait, in lab seconds."""
    schedule = schedule_of(config.retry)
    least = most = schedule.delay(1, 0.0)
    age, attempts = least, 1
    while age < schedule.lifetime and attempts < 1000:
        attempts += 1
        wait = schedule.delay(attempts, age)
        least, most, age = min(least, wait), max(most, wait), age + wait
    return least, most


def _queue_run(config: MtaConfig) -> int:
    """Real seconds between looks at the queue: as Postfix has it, but no longer than half of the
    shortest wait."""
    least, _ = _waits(config)
    run = QUEUE_RUN if least >= QUEUE_RUN else least / 2
    return max(1, math.floor(run / config.time.scale))


def _patience(timeouts: Timeouts) -> dict[str, str]:
    helo = max(timeouts.greeting, timeouts.helo)  # it has one for both
    names = {
        "smtp_connect_timeout": timeouts.connect,
        "smtp_helo_timeout": helo,
        "smtp_starttls_timeout": timeouts.starttls,
        "smtp_mail_timeout": timeouts.mail,
        "smtp_rcpt_timeout": timeouts.rcpt,
        "smtp_data_init_timeout": timeouts.data,
        "smtp_data_xfer_timeout": timeouts.block,
        "smtp_data_done_timeout": timeouts.dot,
        "smtp_quit_timeout": timeouts.quit,
        "smtpd_timeout": timeouts.idle,
    }
    return {name: _seconds(value) for name, value in names.items()}


def _tls(config: MtaConfig, places: Folders) -> dict[str, str]:
    if config.tls is None:
        return {"smtpd_tls_security_level": "none", "smtp_tls_security_level": "none"}
    return {
        "smtpd_tls_security_level": "may",
        "smtpd_tls_chain_files": str(places.etc / "tls.pem"),
        "smtpd_tls_loglevel": "1",
        "smtp_tls_security_level": "may",
        "smtp_tls_CAfile": str(places.etc / "ca.pem"),
        "smtp_tls_loglevel": "1",
    }


def _master(config: MtaConfig) -> str:
    """Its services, none in a chroot. Where the node has no address of IPv4, nothing is sent from
    one; the product is reached there all the same, on loopback."""
    six = all(":" in address for address in config.addresses)
    family = " -o inet_protocols=ipv6" if six else ""
    edge, run = min(config.limits.sessions, PROCESSES), _queue_run(config)
    haproxy = "smtpd -o smtpd_upstream_proxy_protocol=haproxy"
    services = [
        (f"{INNER_HOST}:{INNER_PORT}", "inet", "n", "-", edge, haproxy),
        ("pickup", "unix", "n", 60, 1, "pickup"),
        ("cleanup", "unix", "n", "-", 0, "cleanup"),
        ("qmgr", "unix", "n", run, 1, "qmgr"),
        ("tlsmgr", "unix", "-", "1000?", 1, "tlsmgr"),
        ("rewrite", "unix", "-", "-", "-", "trivial-rewrite"),
        ("bounce", "unix", "-", "-", 0, "bounce"),
        ("defer", "unix", "-", "-", 0, "bounce"),
        ("trace", "unix", "-", "-", 0, "bounce"),
        ("verify", "unix", "-", "-", 1, "verify"),
        ("flush", "unix", "n", "1000?", 0, "flush"),
        ("proxymap", "unix", "-", "-", "-", "proxymap"),
        ("proxywrite", "unix", "-", "-", 1, "proxymap"),
        ("smtp", "unix", "-", "-", "-", f"smtp{family}"),
        ("relay", "unix", "-", "-", "-", f"smtp{family}"),
        ("showq", "unix", "n", "-", "-", "showq"),
        ("error", "unix", "-", "-", "-", "error"),
        ("retry", "unix", "-", "-", "-", "error"),
        ("discard", "unix", "-", "-", "-", "discard"),
        ("virtual", "unix", "-", "-", "-", "virtual"),
        ("anvil", "unix", "-", "-", 1, "anvil"),
        ("scache", "unix", "-", "-", 1, "scache"),
        ("postlog", "unix-dgram", "n", "-", 1, "postlogd"),
    ]
    return _lines(
        f"{name} {kind} {private} {'n' if name == 'virtual' else '-'} n {wakeup} {most} {command}"
        for name, kind, private, wakeup, most, command in services
    )


def _network(network: str) -> str:
    address, slash, width = network.partition("/")
    return f"[{address}]{slash}{width}" if ":" in address else network


def _seconds(real: float) -> str:
    return f"{max(1, math.ceil(real))}s"


def _lifetime(real: float) -> str:
    """Postfix counts begun seconds, and would give up as much as one too early: of a short lifetime
    in a quick lab that is much."""
    return _seconds(real + 1 if real < HOUR else real)


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
