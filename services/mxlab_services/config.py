"""A node's configuration: one JSON object, checked when read.

It arrives in the environment variable MXLAB_CONFIG (containers) or in a file (local processes).
`role` says which of the three shapes it has.
"""

from typing import Annotated, Literal

import msgspec

from mxlab_services.errors import ConfigError
from mxlab_services.ip import ip_address, ip_network

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
PositiveSeconds = Annotated[float, msgspec.Meta(gt=0)]
Seconds = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=1)]


ANY, ANY6 = "0.0.0.0", "::"  # every address of a family


class TimeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Lab time: `scale` lab seconds pass in a real second, counted from `epoch` (Unix time)."""

    scale: PositiveSeconds = 1.0
    epoch: float = 0.0


class NodeConfig(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """What every node has. `address` is where others find it, `also` a second address, of the other
    family; `control` is its Unix socket's path.

    It binds its ports to `binds`: with `listen` ("0.0.0.0" in a container) to every address of the
    families that it has, else to its addresses.
    """

    node: str
    address: str
    also: str | None = None
    listen: str | None = None
    control: str = "/run/mxlab/control.sock"
    time: TimeConfig = TimeConfig()
    seed: int = 0

    @property
    def addresses(self) -> tuple[str, ...]:
        """All of the node's own addresses."""
        return (self.address,) if self.also is None else (self.address, self.also)

    @property
    def binds(self) -> tuple[str, ...]:
        """The addresses to bind ports to."""
        if self.listen != ANY:
            return (self.listen,) if self.listen else self.addresses
        return tuple(ANY6 if ":" in address else ANY for address in self.addresses)


class DnsConfig(NodeConfig, frozen=True, tag_field="role", tag="dns", kw_only=True):
    """A DNS server. `zones` maps an origin to zone text (RFC 1035 §5).

    `secondaries`: the servers (addresses, by origin) that may take a zone from here, and are told
    of its changes. `primaries`: where this server takes a zone from, in order.
    """

    port: Port = 53
    zones: dict[str, str] = {}
    secondaries: dict[str, list[str]] = {}
    primaries: dict[str, list[str]] = {}


class Timeouts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How long a sender waits for each reply, in real seconds (RFC 5321 §4.5.3.2, far shorter for a
    lab): those of `workshop` unless given; `PATIENCE` has more."""

    connect: PositiveSeconds = 1.0
    greeting: PositiveSeconds = 3.0
    helo: PositiveSeconds = 5.0  # EHLO too
    starttls: PositiveSeconds = 5.0  # with the handshake
    mail: PositiveSeconds = 5.0  # ETRN too
    rcpt: PositiveSeconds = 5.0
    data: PositiveSeconds = 10.0  # the reply to DATA
    block: PositiveSeconds = 10.0  # until the peer takes a block of the message
    dot: PositiveSeconds = 20.0
    quit: PositiveSeconds = 5.0
    idle: PositiveSeconds = 300.0  # what our own edge grants a silent client


PATIENCE = {
    "workshop": Timeouts(),
    # RFC 5321 §4.5.3.2; connect: RFC 1122 §4.2.3.5; where they name none, that of MAIL.
    "rfc": Timeouts(
        connect=180.0, greeting=300.0, helo=300.0, starttls=300.0, mail=300.0, rcpt=300.0,
        data=120.0, block=180.0, dot=600.0, quit=300.0, idle=300.0,
    ),
    # smtp_connect_timeout, smtp_helo_timeout (of the greeting too), smtp_starttls_timeout,
    # smtp_mail_timeout, smtp_rcpt_timeout, smtp_data_init_timeout, smtp_data_xfer_timeout,
    # smtp_data_done_timeout, smtp_quit_timeout; smtpd_timeout.
    "postfix": Timeouts(
        connect=30.0, greeting=300.0, helo=300.0, starttls=300.0, mail=300.0, rcpt=300.0,
        data=120.0, block=180.0, dot=600.0, quit=300.0, idle=300.0,
    ),
}  # fmt: skip
"""The timeouts of well-known senders, by name."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Bounds of one MTA."""

    message_size: Count = 10 * 1024 * 1024  # bytes, announced by SIZE (RFC 1870)
    recipients: Count = 1000  # per transaction; at least 100 (RFC 5321 §4.5.3.1.8)
    hops: Count = 100  # Received lines before a message counts as looping (RFC 5321 §6.3)
    sessions: Count = 200  # concurrent connections at the edge
    sessions_per_client: Count = 50  # of those, from one address; above a sender's backlog to us
    content_in_memory: Count = 256 * 1024  # bytes of a message before its dot; the rest is on disk
    destination_concurrency: Count = 20  # concurrent connections to one destination
    line_length: Count = 998  # bytes without CRLF (RFC 5322 §2.1.1, RFC 5321 §4.5.3.1.6)
    commands: Count = 10_000  # per session, before 421
    errors: Count = 20  # 5yz replies per session, before 421


class RetryConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """When to try again, in lab seconds; `schedule` names one of queue.retry.SCHEDULES."""

    schedule: str = "workshop"
    lifetime: PositiveSeconds | None = None  # None: the schedule's own
    warning: Seconds | None = None  # delay warning after so long; 0: none; None: the schedule's own
    jitter: Share | None = None  # chance lengthens a wait by so much; None: as the schedule has it


class TlsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """PEM text for STARTTLS (RFC 3207): the edge's certificate and key, and the lab's own CA."""

    certificate: str
    key: str
    ca: str


class SubmissionConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Submission (RFC 6409): who may, and with what certificate. On `port` TLS begins by STARTTLS,
    on `tls_port` at once (RFC 8314). `users`: passwords by name. `senders`: the addresses that
    a user may send from (`@domain`: all of a domain); who is not there may use any."""

    users: dict[str, str]
    tls: TlsConfig
    port: Port = 587
    tls_port: Port = 465
    senders: dict[str, list[str]] = {}


class PeerConfig(NodeConfig, tag_field="role", tag="peer", frozen=True, kw_only=True):
    """A scripted SMTP server, which other servers are tried with."""

    hostname: str
    smtp_port: Port = 25


Software = Literal["mxlab", "postfix", "exim", "opensmtpd"]
"""Whose mail server an MTA is: ours, or a product that an agent of ours runs."""


class MtaConfig(NodeConfig, frozen=True, kw_only=True):
    """One MTA. Its role follows from the domains that it serves and whom it lets submit.

    `dns` is the address of the DNS server; `roots` are the addresses of the root's servers: with
    them, this MTA finds out for itself, from the root, and `dns` is for its commands only. Mail for
    `local_domains` goes to mailboxes, mail for `relay_domains` to a better MX, mail from
    `submission_networks` anywhere; all other mail is refused. `recipients`: the known addresses, or
    None to take any local part; of `open_domains` any local part is taken in either case. Mail for
    one of the `aliases` goes to its members. With `smarthost` (a host name), all mail for others
    goes there, whatever their MX. `networks`: where this MTA may connect to at all, so that lab
    mail cannot leave the lab. `product_settings`: what stands in the configuration of a product of
    others, in its own words, in the place of what is made of all this.
    """

    hostname: str
    software: Software = "mxlab"
    product_settings: dict[str, str] = {}
    dns: str
    dns_port: Port = 53
    roots: list[str] = []
    smtp_port: Port = 25
    data: str = "/var/lib/mxlab"
    local_domains: list[str] = []
    relay_domains: list[str] = []
    submission_networks: list[str] = []
    networks: list[str]
    recipients: list[str] | None = None
    open_domains: list[str] = []
    aliases: dict[str, list[str]] = {}
    smarthost: str = ""
    timeouts: Timeouts = Timeouts()
    limits: Limits = Limits()
    retry: RetryConfig = RetryConfig()
    tls: TlsConfig | None = None
    submission: SubmissionConfig | None = None

    @property
    def ports(self) -> dict[str, int]:
        """The TCP ports it listens on, by service, as IANA calls the services."""
        more = self.submission
        return {"smtp": self.smtp_port} | (
            {"submission": more.port, "submissions": more.tls_port} if more else {}
        )


class MxConfig(MtaConfig, frozen=True, tag_field="role", tag="mx", kw_only=True):
    """A mail exchanger: primary (has local_domains) or backup (has relay_domains)."""


class ClientConfig(MtaConfig, frozen=True, tag_field="role", tag="client", kw_only=True):
    """The sending client: submits, routes by MX, queues and retries."""


AnyConfig = DnsConfig | MxConfig | ClientConfig | PeerConfig


def decode_config(text: str | bytes) -> AnyConfig:
    """The configuration in `text` (JSON). Raises ConfigError naming the key that is wrong."""
    try:
        config: AnyConfig = msgspec.json.decode(text, type=AnyConfig)
    except msgspec.MsgspecError as error:
        raise ConfigError(f"configuration: {error}") from error
    _check_addresses(config)
    return config


def encode_config(config: AnyConfig) -> str:
    """The configuration as JSON text, defaults left out."""
    return msgspec.json.encode(config).decode()


def _check_addresses(config: AnyConfig) -> None:
    addresses = {"address": config.address, "listen": config.listen or config.address}
    addresses["also"] = config.also or config.address
    networks: list[str] = []
    if isinstance(config, DnsConfig):
        for key, servers in (("secondaries", config.secondaries), ("primaries", config.primaries)):
            for origin, given in servers.items():
                addresses |= {f"{key}[{origin}][{n}]": one for n, one in enumerate(given)}
    if isinstance(config, MtaConfig):
        addresses["dns"] = config.dns
        addresses |= {f"roots[{n}]": one for n, one in enumerate(config.roots)}
        networks = [*config.networks, *config.submission_networks]
    for key, value in addresses.items():
        try:
            ip_address(value)
        except ValueError as error:
            raise ConfigError(f"configuration: `{key}`: {error}") from error
    for value in networks:
        try:
            ip_network(value)
        except ValueError as error:
            raise ConfigError(f"configuration: a network: {error}") from error
