"""What a lab looks like on an engine: names, labels, and how its containers are hardened.

Pure, and the one source for the docker backend and for the exported Compose file.
"""

from dataclasses import dataclass

import msgspec

from mxlab.model.software import OURS
from mxlab.model.topology import Topology
from mxlab.names import check_lab_name
from mxlab.plan.plan import Plan, search_list
from mxlab_services.config import (
    AnyConfig,
    ClientConfig,
    DnsConfig,
    MtaConfig,
    MxConfig,
    PeerConfig,
    Software,
    encode_config,
)

LAB = "mxlab.lab"
RUN = "mxlab.run"
ROLE = "mxlab.role"
NODE = "mxlab.node"
TOPOLOGY = "mxlab.topology"  # JSON; on containers
CONFIG = "MXLAB_CONFIG"  # the environment variable with a node's configuration
DATA = "/var/lib/mxlab"

UID = 2525
MEMORY = "256m"


@dataclass(frozen=True, slots=True)
class Rights:
    """What a container may do and have: as little as will do. `capabilities` are those that it
    keeps of all that are taken from it; `tmpfs`: folders in memory, as all else is read-only."""

    user: str
    tmpfs: dict[str, str]
    capabilities: tuple[str, ...] = ()
    pids: int = 128


OUR_RIGHTS = Rights(
    user=f"{UID}:{UID}",
    tmpfs={
        "/run/mxlab": f"size=1m,mode=0700,uid={UID},gid={UID},nosuid,nodev,noexec",
        "/tmp": f"size=16m,mode=0700,uid={UID},gid={UID},nosuid,nodev,noexec",
    },
)
_ROOTS_TMPFS = {
    "/run": "size=4m,mode=0755,nosuid,nodev,noexec",
    "/run/mxlab": "size=1m,mode=0700,nosuid,nodev,noexec",
    "/tmp": "size=16m,mode=1777,nosuid,nodev,noexec",
}
_OTHER_USERS = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "SETGID", "SETUID")
# A product starts as root and gives its parts to users of its own; but Exim is told to be one user
# in all that it does, and needs no right at all. OpenSMTPD's processes lock themselves in; its tool
# is of a group, as it could not become.
RIGHTS: dict[Software, Rights] = {
    "mxlab": OUR_RIGHTS,
    "postfix": Rights("0:0", _ROOTS_TMPFS, _OTHER_USERS),
    "exim": OUR_RIGHTS,
    "opensmtpd": Rights("root:opensmtpq", _ROOTS_TMPFS, (*_OTHER_USERS, "SYS_CHROOT")),
}
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0"}
SECURITY = ["no-new-privileges:true"]
LOG_OPTIONS = {"max-size": "1g", "max-file": "2"}
LINK = "mxlab.link"  # on helpers: the fault of the links that they do (JSON)
LINK_ROLE = "link"
IMAP_ROLE = "imap"
SNIFF_ROLE = "sniff"
BESIDE = (LINK_ROLE, IMAP_ROLE, SNIFF_ROLE)  # roles of containers that are no nodes
PYTHON = ("python3", "-S", "-P", "-m")


@dataclass(frozen=True, slots=True)
class ContainerShape:
    """One node as a container, in words that both Compose and the engine's API have."""

    name: str
    hostname: str
    config: AnyConfig
    environment: dict[str, str]
    labels: dict[str, str]
    dns: str
    search: tuple[str, ...]
    volume: str | None  # for /var/lib/mxlab; only MTAs have data
    endpoint: dict[str, str]  # its addresses on the lab's network, as engines name them
    software: Software

    @property
    def rights(self) -> Rights:
        return RIGHTS[self.software]


def container_name(lab: str, node: str) -> str:
    """Fixed by lab and node, so that of two labs of a name the second cannot start."""
    return f"mxlab-{lab}-{node}"


def lab_labels(lab: str, run: str, role: str) -> dict[str, str]:
    return {LAB: lab, RUN: run, ROLE: role}


def shapes(plan: Plan) -> list[ContainerShape]:
    """Every node of the plan as a container, in order."""
    return [_shape(plan, config) for config in plan.nodes]


def check_names(lab: str, run: str) -> None:
    """Raise UsageError for names that Docker could not take into its own."""
    check_lab_name(lab)
    check_lab_name(run, "run")


def _shape(plan: Plan, config: AnyConfig) -> ContainerShape:
    topology = plan.topology
    return ContainerShape(
        name=container_name(plan.lab, config.node),
        hostname=f"{config.node}.{topology.home(config.node)}",
        config=config,
        environment={CONFIG: encode_config(config)},
        labels={
            **lab_labels(plan.lab, plan.run, role_of(config)),
            NODE: config.node,
            TOPOLOGY: msgspec.json.encode(topology).decode(),
        },
        dns=plan.node(topology.dns_host).address,
        search=search_list(topology, config.node),
        volume=f"mxlab-{plan.lab}-{plan.run}-{config.node}"
        if isinstance(config, MtaConfig)
        else None,
        endpoint=endpoint(*plan.endpoint(config.node)),
        software=config.software if isinstance(config, MtaConfig) else OURS,
    )


def engine_names(hostname: str) -> dict[str, str]:
    """The name of a container, as the engine and Compose are told. Its own name server knows each
    container by its hostname, and would answer in the place of the lab's: so that has no domain."""
    host, _, domain = hostname.partition(".")
    return {"hostname": host} | ({"domainname": domain} if domain else {})


def dns_options(server: str) -> list[str]:
    """What the resolver of a container is told. Docker's own `ndots:0` asks for a short name as it
    is first, and dig ends there. Before a server of IPv6 an older engine puts its own, which does
    not answer then: that is to cost a second for each question, not five."""
    return ["ndots:1", *(["timeout:1"] if ":" in server else [])]


def endpoint(four: str, six: str | None) -> dict[str, str]:
    """The addresses of a container on a network, as the engine and Compose name them."""
    return {"ipv4_address": four} | ({} if six is None else {"ipv6_address": six})


def volume_labels(shape: ContainerShape) -> dict[str, str]:
    return {key: shape.labels[key] for key in (LAB, RUN, ROLE, NODE)}


def role_of(config: AnyConfig) -> str:
    match config:
        case DnsConfig():
            return "dns"
        case MxConfig():
            return "mx"
        case ClientConfig():
            return "client"
        case PeerConfig():
            return "peer"


def service_ports(config: AnyConfig) -> dict[str, tuple[str, ...]]:
    """What can be published: the service's name -> the container's ports, as Docker writes them."""
    match config:
        case DnsConfig(port=port):
            return {"dns": (f"{port}/udp", f"{port}/tcp")}
        case MxConfig() | ClientConfig():
            return {name: (f"{port}/tcp",) for name, port in config.ports.items()}
        case PeerConfig():
            return {}


def decode_topology(text: str) -> Topology:
    """The label's text as a topology. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Topology)
