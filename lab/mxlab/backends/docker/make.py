"""Creates a lab's networks and containers on an engine."""

import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from docker import APIClient
from docker.types import IPAMConfig, IPAMPool, LogConfig, Mount

from mxlab.backends.base import Order
from mxlab.backends.docker import shape as shapes
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.shape import Shape, lab_labels
from mxlab.backends.docker.subnets import Network, Taken, clash_error, free_subnets, host_routes
from mxlab.backends.docker.sweep import CONFLICT
from mxlab.errors import AlreadyUp
from mxlab.plan.plan import Plan, World, make_plan

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
    networks = await engine.call("list networks", lambda api: api.networks())
    taken = [*_taken(networks), *(host_routes() if _is_local(engine) else ())]
    refused: list[str] = []
    for subnet in free_subnets(taken, asked):
        try:
            lab = await _make_network(engine, order, "lab", subnet)
        except EngineRefused as error:
            if "overlap" not in error.explanation.lower():
                raise
            refused.append(f"{subnet}: {error.explanation}")
            continue
        publish = await _make_network(engine, order, "publish", None) if order.publish else None
        submitters = await _subnets_of(engine, publish) if publish else ()
        return Networks(lab, publish), _plan(order, subnet, submitters)
    raise clash_error(refused)


def already_up(lab: str) -> AlreadyUp:
    return AlreadyUp(
        f"a lab called {lab!r} is up, or another `mxlab up` is at work on it",
        f"`mxlab down {lab}` removes it; or give this one another name",
    )


async def _subnets_of(engine: Engine, network: str) -> tuple[str, ...]:
    """A network's subnets; from one of their addresses the host's own connections come."""
    found = await engine.call("inspect a network", lambda api: api.inspect_network(network))
    return tuple(pool["Subnet"] for pool in found["IPAM"]["Config"])


def _plan(order: Order, subnet: str, submitters: tuple[str, ...]) -> Plan:
    world = World(
        subnet=subnet, time=order.time, seed=order.seed, listen="0.0.0.0",
        submitters=("127.0.0.1/32", *submitters),
    )  # fmt: skip
    return make_plan(order.lab, order.run, order.topology, world)


def _is_local(engine: Engine) -> bool:
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
    engine: Engine, order: Order, role: Literal["lab", "publish"], subnet: str | None
) -> str:
    """The lab's network has no route out; the one for publishing hides nobody behind the host.

    The engine can end up with two networks of one name, and would then start nothing in either: so
    the run is part of the name.
    """
    ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=subnet)]) if subnet else None
    options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}

    def work(api: APIClient) -> str:
        made = api.create_network(
            f"mxlab-{order.lab}-{order.run}" + ("-publish" if role == "publish" else ""),
            driver="bridge",
            internal=role == "lab",
            options=options if role == "publish" else None,
            ipam=ipam,
            labels=lab_labels(order.lab, order.run, role),
        )
        return str(made["Id"])

    return await engine.call("create a network", work)


async def make_container(engine: Engine, image: str, shape: Shape, networks: Networks) -> str:
    """Create one node's container; answers its id. Raises AlreadyUp where its name is taken."""
    try:
        return await engine.call(
            f"create {shape.config.node}", _container_maker(image, shape, networks)
        )
    except EngineRefused as error:
        if error.status == CONFLICT and "name" in error.explanation:
            raise already_up(shape.labels[shapes.LAB]) from error
        raise


def _container_maker(image: str, shape: Shape, networks: Networks) -> Callable[[APIClient], str]:
    ports = _port_bindings(shape) if networks.publish else {}

    def work(api: Any) -> str:  # its stubs are narrower than the engine
        host = api.create_host_config(
            network_mode=networks.lab,
            cap_drop=["ALL"],
            read_only=True,
            security_opt=shapes.SECURITY,
            mem_limit=shapes.MEMORY,
            memswap_limit=shapes.MEMORY,
            pids_limit=shapes.PIDS,
            sysctls=shapes.SYSCTLS,
            tmpfs=shapes.TMPFS,
            mounts=[_volume(shape)] if shape.volume else None,
            dns=[shape.dns],
            dns_search=list(shape.search),
            dns_opt=shapes.DNS_OPTIONS,
            log_config=LogConfig(type="json-file", config=shapes.LOG_OPTIONS),
            port_bindings=ports,
        )
        made = api.create_container(
            image,
            name=shape.name,
            hostname=shape.hostname,
            user=shapes.USER,
            environment=shape.environment,
            labels=shape.labels,
            ports=[tuple(port.split("/")) for port in ports],
            host_config=host,
            networking_config=api.create_networking_config(
                {networks.lab: api.create_endpoint_config(ipv4_address=shape.config.address)}
            ),
        )
        container = str(made["Id"])
        if ports and networks.publish:
            api.connect_container_to_network(container, networks.publish)
        return container

    return work


def _volume(shape: Shape) -> Mount:
    labels = shapes.volume_labels(shape)
    return Mount(shapes.DATA, shape.volume, type="volume", labels=labels)


def _port_bindings(shape: Shape) -> dict[str, tuple[str, int]]:
    """Ports of this machine that are free now; fixed, so that a restart keeps them."""
    bindings: dict[str, tuple[str, int]] = {}
    for ports in shapes.service_ports(shape.config).values():
        free = _free_port()
        bindings |= dict.fromkeys(ports, (LOCALHOST, free))
    return bindings


def _free_port() -> int:
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
