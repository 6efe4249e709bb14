"""Labs on a Docker engine. All state is on the engine: labels, and each container's configuration.

Guarantee: a lab is up whole or not at all. Whatever a failed or cancelled `deploy` created is gone
before its error is raised, and two deploys of one name leave exactly one lab.

Long: the whole life of a lab, and what can be done to one that is up.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import msgspec
from docker import APIClient

from mxlab.backends.base import Found, ImapServer, Lab, Node, Order, Progress, Removal, Shape
from mxlab.backends.docker.engine import Engine, connect, engine_version
from mxlab.backends.docker.image import Base, ensure_image
from mxlab.backends.docker.imaging import ImageStore
from mxlab.backends.docker.imap import DockerImapServer, find_imap, start_imap
from mxlab.backends.docker.links import Links
from mxlab.backends.docker.make import Networks, already_up, make_container, make_networks
from mxlab.backends.docker.node import DockerNode
from mxlab.backends.docker.products import DOVECOT, MAIL_SERVERS, PRODUCTS, ensure_product
from mxlab.backends.docker.shape import (
    CONFIG,
    LAB,
    RUN,
    TOPOLOGY,
    ContainerShape,
    check_names,
    decode_topology,
    endpoint,
    shapes,
)
from mxlab.backends.docker.sniff import Sniffed, Sniffer
from mxlab.backends.docker.sweep import (
    found_labs,
    labelled,
    labelled_containers,
    sweep,
    uninterrupted,
)
from mxlab.backends.real.lab import RealLab
from mxlab.errors import (
    AlreadyUp,
    EnvironmentProblem,
    LabError,
    NotUp,
    first_of_group,
)
from mxlab.model.software import OURS, products_in
from mxlab.model.topology import Topology
from mxlab.names import check_lab_name
from mxlab.plan.plan import Plan
from mxlab.plan.space import four_of
from mxlab_services.config import AnyConfig, MtaConfig, decode_config
from mxlab_services.errors import ConfigError


class DockerLab(RealLab[DockerNode]):
    """A lab that is up."""

    backend = "docker"

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        nodes: Mapping[str, DockerNode],
        imap: Mapping[str, DockerImapServer],
    ) -> None:
        super().__init__(plan, nodes)
        self._imap = imap
        self._sniffer = Sniffer(
            engine, (plan.lab, plan.run), {name: node.container for name, node in nodes.items()}
        )
        self._links = Links(
            engine,
            (plan.lab, plan.run),
            {name: node.container for name, node in nodes.items()},
            {name: node.config.addresses for name, node in nodes.items()},
            {name: endpoint(*plan.endpoint(name)) for name in nodes},
        )
        for node in nodes.values():
            node.links = self._links

    @property
    def imap(self) -> Mapping[str, ImapServer]:
        return self._imap

    def sniff(
        self, nodes: tuple[str, ...], seconds: float, most: int
    ) -> contextlib.AbstractAsyncContextManager[Sniffed]:
        return self._sniffer.sniff(nodes, seconds, most)

    async def disconnect(self, host: str) -> None:
        await self._nodes[host].disconnect(self.name)

    async def reconnect(self, host: str) -> None:
        await self._links.reconnect(host)

    async def is_connected(self, host: str) -> bool:
        return await self._nodes[host].is_connected(self.name)

    async def shape(self, name: str, host: str, peers: tuple[str, ...], shape: Shape) -> None:
        await self._links.shape(name, host, peers, shape)

    async def unshape(self, name: str) -> None:
        await self._links.unshape(name)

    async def shapes(self) -> Mapping[str, tuple[str, Shape]]:
        return await self._links.shapes()


class DockerBackend:
    """Labs on the engine that DOCKER_HOST or the current Docker context names.

    `base` is where the image may come from (see `mxlab.backends.docker.image`); `subnet` the lab's
    network, if it must be a certain one.
    """

    name = "docker"
    node_type: type[Node] = DockerNode
    lab_type: type[Lab] = DockerLab
    products = tuple(product.name for product in MAIL_SERVERS)
    engine_version = staticmethod(engine_version)

    def __init__(self, *, base: Base = "auto", subnet: str | None = None) -> None:
        self._base: Base = base
        self._subnet = subnet

    async def prepare(self, progress: Progress) -> None:
        async with _engine() as engine:
            await ensure_image(ImageStore(engine), progress, self._base)

    @contextlib.asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[DockerLab]:
        check_names(order.lab, order.run)
        async with _engine() as engine:
            lab = await self._bring_up(engine, order, progress)
            try:
                yield lab
            finally:
                try:
                    if not keep:
                        progress("removing the lab")
                finally:  # whatever the caller's progress does
                    await uninterrupted(_leave(engine, lab, remove=not keep))

    async def _bring_up(self, engine: Engine, order: Order, progress: Progress) -> DockerLab:
        progress("looking at the engine")
        left = await labelled(engine, f"{LAB}={order.lab}")
        if any(thing.state == "running" for thing in left):
            raise already_up(order.lab)
        if left:
            raise AlreadyUp(
                f"something is left of a lab called {order.lab!r} ({left[0].kind} {left[0].name})",
                f"`mxlab down {order.lab}` removes it",
            )
        try:
            store, imap = ImageStore(engine), dict[str, DockerImapServer]()
            image = await ensure_image(store, progress, self._base)
            products = await _products(store, progress, order.topology, self._base)
            progress("creating the network")
            networks, plan = await make_networks(engine, order, self._subnet)
            progress("starting the nodes")
            nodes = await _start_all(engine, {OURS: image, **products}, plan, networks)
            if order.topology.imap:
                progress("starting Dovecot")
                imap = await start_imap(engine, products[DOVECOT.name], plan, networks)
        except BaseException as error:
            await uninterrupted(_undo(engine, order, error))
            raise
        return DockerLab(engine, plan, nodes, imap)

    @contextlib.asynccontextmanager
    async def attach(self, lab: str) -> AsyncIterator[DockerLab]:
        check_lab_name(lab)
        async with _engine() as engine:
            found = await _discover(engine, lab)
            try:
                yield found
            finally:
                await uninterrupted(found.let_go())

    async def find(self) -> list[Found]:
        async with _engine() as engine:
            return found_labs(await labelled(engine, LAB))

    async def remove(self, lab: str) -> Removal:
        check_lab_name(lab)
        async with _engine() as engine:
            return await sweep(engine, f"{LAB}={lab}")


@contextlib.asynccontextmanager
async def _engine() -> AsyncIterator[Engine]:
    engine = await connect()
    try:
        yield engine
    finally:
        engine.close()


async def _products(
    store: ImageStore, progress: Progress, topology: Topology, base: Base
) -> dict[str, str]:
    """The images of other people's servers that the lab wants, by product, built side by side if
    need be. Raises NoImage."""
    wanted = [*products_in(topology.software), *([DOVECOT.name] if topology.imap else [])]
    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            making = {
                name: group.create_task(ensure_product(store, progress, PRODUCTS[name], base))
                for name in wanted
            }
    return {name: task.result() for name, task in making.items()}


async def _start_all(
    engine: Engine, images: Mapping[str, str], plan: Plan, networks: Networks
) -> dict[str, DockerNode]:
    """All containers, in parallel, each ready. `images` by software.

    The first one's name is the claim on the lab: it is created alone, so that of two deploys at
    once only one goes on from here.
    """
    nodes: dict[str, DockerNode] = {}

    async def start(shape: ContainerShape, container: str | None = None) -> None:
        image = images[shape.software]
        made = container or await make_container(engine, image, shape, networks)
        node = DockerNode(engine, made, shape.config)
        nodes[shape.config.node] = node
        await node.begin()

    first, *others = shapes(plan)
    claim = await make_container(engine, images[first.software], first, networks)
    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            group.create_task(start(first, claim))
            for shape in others:
                group.create_task(start(shape))
    return {config.node: nodes[config.node] for config in plan.nodes}


async def _leave(engine: Engine, lab: DockerLab, *, remove: bool) -> None:
    await lab.let_go()
    if remove:
        await sweep(engine, f"{LAB}={lab.name}")


async def _undo(engine: Engine, order: Order, error: BaseException) -> None:
    """Remove what this run created, and only that; a failure to do so is added to `error`."""
    await engine.settle()
    try:
        await sweep(engine, f"{LAB}={order.lab}", f"{RUN}={order.run}")
    except LabError as second:
        error.add_note(f"and then: {second}; `mxlab down {order.lab}` tries again")


async def _discover(engine: Engine, lab: str) -> DockerLab:
    """Rebuild a lab's plan from its containers alone. Raises NotUp."""
    found = await labelled_containers(engine, f"{LAB}={lab}")
    things = [thing for thing in found if thing.is_node]
    if not things:
        raise NotUp(f"no lab called {lab!r} is up on Docker", "`mxlab up`, or see `mxlab status`")
    inspected = await asyncio.gather(
        *(engine.call("inspect a node", _inspector(thing.id)) for thing in things)
    )
    try:
        return _rebuild(engine, lab, inspected, await find_imap(engine, lab))
    except (ConfigError, msgspec.MsgspecError, KeyError) as error:
        raise EnvironmentProblem(
            f"the lab {lab!r} was made by another version of mxlab: {error}",
            f"`mxlab down {lab}`, then `mxlab up`",
        ) from error


def _rebuild(
    engine: Engine,
    lab: str,
    inspected: list[dict[str, Any]],
    imap: dict[str, DockerImapServer],
) -> DockerLab:
    labels = inspected[0]["Config"]["Labels"]
    topology = decode_topology(labels[TOPOLOGY])
    configs: dict[str, AnyConfig] = {}
    nodes: dict[str, DockerNode] = {}
    subnet = ""
    for container in inspected:
        environment = dict(entry.split("=", 1) for entry in container["Config"]["Env"])
        config = decode_config(environment[CONFIG])
        configs[config.node] = config
        nodes[config.node] = DockerNode(engine, container["Id"], config)
        subnet = subnet or _subnet_of(config)
    present = [host for host in topology.hosts if host in nodes]
    plan = Plan(lab, labels[RUN], topology, subnet, tuple(configs[host] for host in present))
    return DockerLab(engine, plan, {host: nodes[host] for host in present}, imap)


def _inspector(container: str) -> Callable[[APIClient], dict[str, Any]]:
    return lambda api: api.inspect_container(container)


def _subnet_of(config: AnyConfig) -> str:
    return four_of(config.networks[0]) if isinstance(config, MtaConfig) else ""
