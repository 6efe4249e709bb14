"""What a lab looks like on an engine: names, labels, and how its containers are hardened.

Pure, and the one source for the docker backend and for the exported Compose file.
"""

from dataclasses import dataclass

import msgspec

from mxlab.model.topology import Topology
from mxlab.names import check_lab_name
from mxlab.plan.plan import Plan, search_list
from mxlab_services.config import (
    AnyConfig,
    ClientConfig,
    DnsConfig,
    MtaConfig,
    MxConfig,
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
USER = f"{UID}:{UID}"
MEMORY = "256m"
PIDS = 128
TMPFS = {
    "/run/mxlab": f"size=1m,mode=0700,uid={UID},gid={UID},nosuid,nodev,noexec",
    "/tmp": f"size=16m,mode=0700,uid={UID},gid={UID},nosuid,nodev,noexec",
}
SYSCTLS = {"net.ipv4.ip_unprivileged_port_start": "0"}
SECURITY = ["no-new-privileges:true"]
LOG_OPTIONS = {"max-size": "1g", "max-file": "2"}
LINK = "mxlab.link"  # on helpers: the fault of the links that they do (JSON)
LINK_ROLE = "link"
DNS_OPTIONS = ["ndots:1"]  # Docker's own 0 asks for a short name as it is first, and dig ends there
LAB_NETWORK_ROLE = "lab"
PUBLISH_NETWORK_ROLE = "publish"
PYTHON = ("python3", "-S", "-P", "-m")


@dataclass(frozen=True, slots=True)
class Shape:
    """One node as a container, in words that both Compose and the engine's API have."""

    name: str
    hostname: str
    config: AnyConfig
    environment: dict[str, str]
    labels: dict[str, str]
    dns: str
    search: tuple[str, ...]
    volume: str | None  # for /var/lib/mxlab; only MTAs have data


def container_name(lab: str, node: str) -> str:
    """Fixed by lab and node, so that of two labs of a name the second cannot start."""
    return f"mxlab-{lab}-{node}"


def lab_labels(lab: str, run: str, role: str) -> dict[str, str]:
    return {LAB: lab, RUN: run, ROLE: role}


def shapes(plan: Plan) -> list[Shape]:
    """Every node of the plan as a container, in order."""
    return [_shape(plan, config) for config in plan.nodes]


def check_names(lab: str, run: str) -> None:
    """Raise UsageError for names that Docker could not take into its own."""
    check_lab_name(lab)
    check_lab_name(run, "run")


def _shape(plan: Plan, config: AnyConfig) -> Shape:
    topology = plan.topology
    domain = topology.client_domain if isinstance(config, ClientConfig) else topology.domain
    return Shape(
        name=container_name(plan.lab, config.node),
        hostname=f"{config.node}.{domain}",
        config=config,
        environment={CONFIG: encode_config(config)},
        labels={
            **lab_labels(plan.lab, plan.run, role_of(config)),
            NODE: config.node,
            TOPOLOGY: msgspec.json.encode(topology).decode(),
        },
        dns=plan.node(topology.dns).address,
        search=search_list(topology, config.node),
        volume=f"mxlab-{plan.lab}-{plan.run}-{config.node}"
        if isinstance(config, MtaConfig)
        else None,
    )


def volume_labels(shape: Shape) -> dict[str, str]:
    return {key: shape.labels[key] for key in (LAB, RUN, ROLE, NODE)}


def role_of(config: AnyConfig) -> str:
    match config:
        case DnsConfig():
            return "dns"
        case MxConfig():
            return "mx"
        case ClientConfig():
            return "client"


def service_ports(config: AnyConfig) -> dict[str, tuple[str, ...]]:
    """What can be published: the service's name -> the container's ports, as Docker writes them."""
    match config:
        case DnsConfig(port=port):
            return {"dns": (f"{port}/udp", f"{port}/tcp")}
        case MxConfig(smtp_port=port) | ClientConfig(smtp_port=port):
            return {"smtp": (f"{port}/tcp",)}


def decode_topology(text: str) -> Topology:
    """The label's text as a topology. Raises msgspec.MsgspecError."""
    return msgspec.json.decode(text, type=Topology)
