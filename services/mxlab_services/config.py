"""A node's configuration: one JSON object, checked when read.

It arrives in the environment variable MXLAB_CONFIG (containers) or in a file (local processes).
`role` says which of the three shapes it has.
"""

import ipaddress
from typing import Annotated

import msgspec

from mxlab_services.errors import ConfigError

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]


class TimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Lab time: `scale` lab seconds pass in a real second, counted from `epoch` (Unix time)."""

    scale: PositiveSeconds = 1.0
    epoch: float = 0.0


class NodeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What every node has. `address` is where others find it; `control` is its Unix socket's path.

    It binds its ports to `bind`: `listen` if given ("0.0.0.0" in a container), else `address`.
    """

    node: str
    address: str
    listen: str | None = None
    control: str = "/run/mxlab/control.sock"
    time: TimeConfig = TimeConfig()
    seed: int = 0

    @property
    def bind(self) -> str:
        """The address to bind ports to."""
        return self.listen or self.address


class DnsConfig(NodeConfig, frozen=True, tag_field="role", tag="dns", kw_only=True):
    """A DNS server. `zones` maps an origin to zone text (RFC 1035 §5)."""

    port: Port = 53
    zones: dict[str, str]


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a sender waits for, in real seconds (RFC 5321 §4.5.3.2, far shorter for a lab)."""

    connect: PositiveSeconds = 1.0
    greeting: PositiveSeconds = 3.0
    command: PositiveSeconds = 5.0
    data: PositiveSeconds = 10.0  # the reply to DATA
    block: PositiveSeconds = 10.0  # until the peer takes a block of the message
    dot: PositiveSeconds = 20.0
    idle: PositiveSeconds = 300.0  # what our own edge grants a silent client


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of one MTA."""

    message_size: int = 10 * 1024 * 1024  # bytes, announced by SIZE (RFC 1870)
    recipients: int = 1000  # per transaction; at least 100 (RFC 5321 §4.5.3.1.8)
    hops: int = 100  # Received lines before a message counts as looping (RFC 5321 §6.3)
    sessions: int = 200  # concurrent connections at the edge
    sessions_per_client: int = 50  # of those, from one address; above a sender's backlog to us
    content_in_memory: int = 256 * 1024  # bytes of a message before its dot; the rest is on disk
    destination_concurrency: int = 20  # concurrent connections to one destination
    line_length: int = 998  # bytes without CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6)
    commands: int = 10_000  # per session, before 421
    errors: int = 20  # 5yz replies per session, before 421


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When to try again, in lab seconds; `schedule` names one of queue.retry.SCHEDULES."""

    schedule: str = "workshop"
    lifetime: PositiveSeconds | None = None  # None: the schedule's own
    warning: float | None = None  # delay warning after so long; 0: none; None: the schedule's own
    jitter: Share | None = None  # chance lengthens a wait by so much; None: as the schedule has it


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM text for STARTTLS (RFC 3207): the edge's certificate and key, and the lab's own CA."""

    certificate: str
    key: str
    ca: str


class MtaConfig(NodeConfig, frozen=True, kw_only=True):
    """One MTA. Its role follows from the domains that it serves and whom it lets submit.

    `dns` is the address of the DNS server. Mail for `local_domains` goes to mailboxes, mail for
    `relay_domains` to a better MX, mail from `submission_networks` anywhere; all other mail is
    refused. `recipients`: the known addresses, or None to take any local part. `networks`: where
    this MTA may connect to at all, so that lab mail cannot leave the lab.
    """

    hostname: str
    dns: str
    dns_port: Port = 53
    smtp_port: Port = 25
    data: str = "/var/lib/mxlab"
    local_domains: list[str] = []
    relay_domains: list[str] = []
    submission_networks: list[str] = []
    networks: list[str]
    recipients: list[str] | None = None
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    retry: RetryConfig = RetryConfig()
    tls: TlsConfig | None = None


class MxConfig(MtaConfig, frozen=True, tag_field="role", tag="mx", kw_only=True):
    """A mail exchanger: primary (has local_domains) or backup (has relay_domains)."""


class ClientConfig(MtaConfig, frozen=True, tag_field="role", tag="client", kw_only=True):
    """The sending client: submits, routes by MX, queues and retries."""


AnyConfig = DnsConfig | MxConfig | ClientConfig


def decode_config(text: str | bytes) -> AnyConfig:
    """The configuration in `text` (JSON). Raises ConfigError naming the key that is wrong."""
    try:
        config: AnyConfig = msgspec.json.decode(text, type=AnyConfig)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"configuration: {error}") from error
    _check_addresses(config)
    return config


def encode_config(config: AnyConfig) -> str:
    """The configuration as JSON text, defaults left out where the struct says so."""
    return msgspec.json.encode(config).decode()


def _check_addresses(config: AnyConfig) -> None:
    addresses = {"address": config.address, "listen": config.bind}
    networks: list[str] = []
    if isinstance(config, MtaConfig):
        addresses["dns"] = config.dns
        networks = [*config.networks, *config.submission_networks]
    for key, value in addresses.items():
        try:
            ipaddress.ip_address(value)
        except ValueError as error:
            raise ConfigError(f"configuration: `{key}`: {error}") from error
    for value in networks:
        try:
            ipaddress.ip_network(value)
        except ValueError as error:
            raise ConfigError(f"configuration: a network: {error}") from error
