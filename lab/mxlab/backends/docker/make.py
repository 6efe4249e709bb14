"""Creates a lab's networks and containers on an engine."""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from docker import APIClient
from docker.types import IPAMConfig, IPAMPool, LogConfig, Mount

from mxlab.backends.base import Order
from mxlab.backends.docker import shape as shapes
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.shape import OUR_RIGHTS, ContainerShape, Rights, lab_labels
from mxlab.backends.docker.subnets import Network, Taken, clash_error, free_subnets, host_routes
from mxlab.backends.docker.sweep import CONFLICT
from mxlab.errors import AlreadyUp
from mxlab.plan.plan import AddressPlan, Plan, make_plan

LOCALHOST = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Networks:
    """The ids of a lab's networks; `publish` only where the order asked for it."""

    lab: str
    publish: str | None


async def make_networks(engine: Engine, order: Order, asked: str | None) -> tuple[Networks, Plan]:
    """Create the networks, and plan the lab for the subnet that was free.

    Raises SubnetClash.
    """
    taken = await taken_subnets(engine)
    refused: list[str] = []
    for subnet in free_subnets(taken, asked):
        try:
            lab = await _make_network(engine, order, "lab", _plan(order, subnet).engine_subnets)
        except EngineRefused as error:
            if "overlap" not in error.explanation.lower():
                raise
            refused.append(f"{subnet}: {error.explanation}")
            continue
        publish = await _make_network(engine, order, "publish", []) if order.publish else None
        submitters = await _subnets_of(engine, publish) if publish else ()
        return Networks(lab, publish), _plan(order, subnet, submitters)
    raise clash_error(refused)


async def taken_subnets(engine: Engine) -> list[Taken]:
    """What the engine's networks, and this host's routes where the engine is here, have."""
    networks = await engine.call("list networks", lambda api: api.networks())
    return [*_taken(networks), *(host_routes() if is_local(engine) else ())]


def already_up(lab: str) -> AlreadyUp:
    return AlreadyUp(
        f"a lab called {lab!r} is up, or another `mxlab up` is at work on it",
        f"`mxlab down {lab}` removes it; or give this one another name",
    )


async def _subnets_of(engine: Engine, network: str) -> tuple[str, ...]:
    """A network's subnets; from one of their addresses the host's own connections come."""
    found = await engine.call("inspect a network", lambda api: api.inspect_network(network))
    return tuple(pool["Subnet"] for pool in found["IPAM"]["Config"])


def _plan(order: Order, subnet: str, submitters: tuple[str, ...] = ()) -> Plan:
    world = AddressPlan(
        subnet=subnet, time=order.time, seed=order.seed, listen="0.0.0.0",
        submitters=("127.0.0.1/32", *submitters),
    )  # fmt: skip
    return make_plan(order.lab, order.run, order.topology, world, order.peers)


def is_local(engine: Engine) -> bool:
    """Whether the engine is this machine's."""
    return not engine.endpoint.url.startswith(("ssh://", "tcp://", "http://", "https://"))


def _taken(networks: list[dict[str, Any]]) -> list[Taken]:
    taken = []
    for network in networks:
        for pool in (network.get("IPAM") or {}).get("Config") or ():
            subnet = pool.get("Subnet", "")
            if subnet and ":" not in subnet:
                taken.append(
                    Taken(Network(subnet, strict=False), f"the Docker network {network['Name']!r}")
                )
    return taken


async def _make_network(
    engine: Engine, order: Order, role: Literal["lab", "publish"], subnets: Sequence[str]
) -> str:
    """The lab's network has no route out; the one for publishing hides nobody behind the host.

    The engine can end up with two networks of one name, and would then start nothing in either: so
    the run is part of the name.
    """
    pools = [IPAMPool(subnet=subnet) for subnet in subnets]
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}

    def work(api: APIClient) -> str:
        made = api.create_network(
            f"mxlab-{order.lab}-{order.run}" + ("-publish" if role == "publish" else ""),
            driver="bridge",
            internal=role == "lab",
            options=options if role == "publish" else None,
            ipam=IPAMConfig(pool_configs=pools) if pools else None,
            enable_ipv6=len(pools) > 1,
            labels=lab_labels(order.lab, order.run, role),
        )
        return str(made["Id"])

    return await engine.call("create a network", work)


async def make_container(
    engine: Engine, image: str, shape: ContainerShape, networks: Networks
) -> str:
    """Create one node's container; returns its id. Raises AlreadyUp where its name is taken."""
    try:
        return await engine.call(
            f"create {shape.config.node}", _container_maker(image, shape, networks)
        )
    except EngineRefused as error:
        if error.status == CONFLICT and "name" in error.explanation:
            raise already_up(shape.labels[shapes.LAB]) from error
        raise


def _container_maker(
    image: str, shape: ContainerShape, networks: Networks
) -> Callable[[APIClient], str]:
    wanted = Container(
        name=shape.name,
        hostname=shape.hostname,
        endpoint=shape.endpoint,
        environment=shape.environment,
        labels=shape.labels,
        volume=volume_of(shape) if shape.volume else None,
        ports=_port_bindings(shape) if networks.publish else {},
        dns=shape.dns,
        search=shape.search,
        rights=shape.rights,
    )
    return container_maker(image, wanted, networks)


@dataclass(frozen=True, slots=True)
class Container:
    """What makes one container unlike another; what all have in common makes them harmless.
    `endpoint`: its addresses (see `shape`). `ports`: the container's (`53/udp`) -> address and port
    here."""

    name: str
    hostname: str
    endpoint: dict[str, str]
    environment: dict[str, str]
    labels: dict[str, str]
    volume: Mount | None
    ports: dict[str, tuple[str, int]]
    dns: str
    search: tuple[str, ...]
    rights: Rights = OUR_RIGHTS


def container_maker(
    image: str, wanted: Container, networks: Networks
) -> Callable[[APIClient], str]:
    """What creates it, in the lab's networks, and returns its id."""

    def work(api: Any) -> str:  # its stubs are narrower than the engine
        host = api.create_host_config(
            network_mode=networks.lab,
            cap_drop=["ALL"],
            cap_add=list(wanted.rights.capabilities),
            read_only=True,
            security_opt=shapes.SECURITY,
            mem_limit=shapes.MEMORY,
            memswap_limit=shapes.MEMORY,
            pids_limit=wanted.rights.pids,
            sysctls=shapes.SYSCTLS,
            tmpfs=wanted.rights.tmpfs,
            mounts=[wanted.volume] if wanted.volume else None,
            dns=[wanted.dns],
            dns_search=list(wanted.search),
            dns_opt=shapes.dns_options(wanted.dns),
            log_config=LogConfig(type="json-file", config=shapes.LOG_OPTIONS),
            port_bindings=wanted.ports,
        )
        made = api.create_container(
            image,
            name=wanted.name,
            **shapes.engine_names(wanted.hostname),
            user=wanted.rights.user,
            environment=wanted.environment,
            labels=wanted.labels,
            ports=[tuple(port.split("/")) for port in wanted.ports],
            host_config=host,
            networking_config=api.create_networking_config(
                {networks.lab: api.create_endpoint_config(**wanted.endpoint)}
            ),
        )
        container = str(made["Id"])
        if wanted.ports and networks.publish:
            api.connect_container_to_network(container, networks.publish)
        return container

    return work


def volume_of(shape: ContainerShape) -> Mount:
    """The volume of a node that has data."""
    labels = shapes.volume_labels(shape)
    return Mount(shapes.DATA, shape.volume, type="volume", labels=labels)


def _port_bindings(shape: ContainerShape) -> dict[str, tuple[str, int]]:
    """Ports of this machine that are free now; fixed, so that a restart keeps them."""
    bindings: dict[str, tuple[str, int]] = {}
    for ports in shapes.service_ports(shape.config).values():
        bindings |= dict.fromkeys(ports, (LOCALHOST, free_port()))
    return bindings


def free_port() -> int:
    """A port that is free for TCP and for UDP."""
    while True:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        ):
            tcp.bind((LOCALHOST, 0))
            port = int(tcp.getsockname()[1])
            try:
                udp.bind((LOCALHOST, port))
            except OSError:
                continue
            return port


def helper_maker(
    container: str,
    command: Sequence[str],
    name: str,
    labels: dict[str, str],
    capability: str,
    **limits: Any,
) -> Callable[[APIClient], str]:
    """Creates a helper in the network namespace of that container, of its image, and returns its
    id: root there with that capability alone. `limits`: more of its host configuration."""

    def work(api: APIClient) -> str:
        made = api.create_container(
            api.inspect_container(container)["Image"],
            entrypoint=[command[0]],
            command=[*command[1:]],
            user="0:0",
            name=name,
            labels=labels,
            host_config=api.create_host_config(
                network_mode=f"container:{container}",
                cap_drop=["ALL"],
                cap_add=[capability],
                read_only=True,
                security_opt=["no-new-privileges:true"],
                pids_limit=16,
                **limits,
            ),
        )
        return str(made["Id"])

    return work
