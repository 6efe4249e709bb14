"""Dovecot beside a primary: a container of its own, which shows the primary's mailboxes by IMAP and
POP3.

Guarantee: `start` returns once both protocols greet; `stop` and `kill` once the engine shows it.
The container has the primary's volume, user and limits, and no privilege.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from docker import APIClient

from mxlab.backends.docker import shape as shapes
from mxlab.backends.docker.engine import Engine, EngineRefused
from mxlab.backends.docker.life import LivingContainer
from mxlab.backends.docker.logs import last_position, life_of, lines, read
from mxlab.backends.docker.make import (
    LOCALHOST,
    Container,
    Networks,
    container_maker,
    free_port,
    volume_of,
)
from mxlab.backends.docker.shape import IMAP_ROLE, LAB, NODE, OUR_RIGHTS, ROLE, UID, Rights
from mxlab.backends.docker.sweep import labelled_containers
from mxlab.backends.real.program import READY_SECONDS, with_last_lines
from mxlab.errors import LabError, NodeFailed, first_of_group
from mxlab.plan.plan import ImapPlan, Plan

PRIMARY, ADDRESS = "mxlab.primary", "mxlab.address"  # labels
PORTS = {"imap": 143, "pop3": 110}
TLS_PORTS = {"imaps": 993, "pop3s": 995}
RIGHTS = Rights(
    user=OUR_RIGHTS.user,
    tmpfs={
        "/run/dovecot": f"size=4m,mode=0755,uid={UID},gid={UID},nosuid,nodev,noexec",
        "/tmp": OUR_RIGHTS.tmpfs["/tmp"],
    },
    pids=256,  # a process for each connection that is logged in, and one for its TLS
)


class DockerImapServer(LivingContainer):
    """An `ImapServer` in a container. `container` is the engine's id."""

    def __init__(
        self, engine: Engine, container: str, name: str, primary: str, address: str
    ) -> None:
        self._engine, self._container, self._name = engine, container, name
        self.primary, self.address = primary, address

    @property
    def name(self) -> str:
        return self._name

    async def _start_stopped(self) -> None:
        before = await last_position(self._engine, self._container)
        await self._start_container()
        if problem := await self._problem():
            written = read(self._engine, self._container, "stderr", before, follow=False)
            raise NodeFailed(await with_last_lines(problem, written))

    async def published(self) -> Mapping[str, tuple[str, int]]:
        ports = PORTS | TLS_PORTS
        return await self._open_here({name: f"{port}/tcp" for name, port in ports.items()})

    def logs(self, *, follow: bool) -> AsyncIterator[str]:
        return lines(self._engine, self._container, "stderr", follow=follow)

    async def _problem(self) -> str | None:
        """Why it is not ready, once it is or will not be."""
        command = ["bash", "/usr/local/bin/greets", f"{READY_SECONDS / 2:.0f}"]

        def greets(api: Any) -> int | None:  # its stubs are narrower than the engine
            made = api.exec_create(self._container, command)
            api.exec_start(made["Id"])
            code: int | None = api.exec_inspect(made["Id"])["ExitCode"]
            if code not in (0, 1):  # not its own word: the container ended, and it with it
                api.wait(self._container, condition="not-running")
            return code

        refused: EngineRefused | None = None
        try:
            if await self._engine.call(f"run a command in {self.name}", greets) == 0:
                return None
        except EngineRefused as error:
            refused = error
        life = await life_of(self._engine, self._container)
        if life is None or life.state == "stopped":
            code = life.exit_code if life else "unknown"
            return f"{self.name} died while starting (exit code {code})"
        return str(refused) if refused else f"{self.name} runs, and does not greet"


async def start_imap(
    engine: Engine, image: str, plan: Plan, networks: Networks
) -> dict[str, DockerImapServer]:
    """The plan's IMAP servers, all ready. Raises NodeFailed."""
    servers: dict[str, DockerImapServer] = {}

    async def start(wanted: ImapPlan) -> None:
        maker = _maker(image, plan, wanted, networks)
        container = await engine.call(f"create {wanted.name}", maker)
        servers[wanted.name] = server = DockerImapServer(
            engine, container, wanted.name, wanted.primary, wanted.address
        )
        await server.start()

    with first_of_group(LabError):
        async with asyncio.TaskGroup() as group:
            for wanted in plan.imap:
                group.create_task(start(wanted))
    return {wanted.name: servers[wanted.name] for wanted in plan.imap}


async def find_imap(engine: Engine, lab: str) -> dict[str, DockerImapServer]:
    """Those of a lab that is up, by its containers alone."""
    found = await labelled_containers(engine, f"{LAB}={lab}", f"{ROLE}={IMAP_ROLE}")
    return {
        (name := thing.labels[NODE]): DockerImapServer(
            engine, thing.id, name, thing.labels[PRIMARY], thing.labels[ADDRESS]
        )
        for thing in sorted(found, key=lambda thing: thing.name)
    }


def _maker(
    image: str, plan: Plan, wanted: ImapPlan, networks: Networks
) -> Callable[[APIClient], str]:
    primary = next(one for one in shapes.shapes(plan) if one.config.node == wanted.primary)
    ports = PORTS | (TLS_PORTS if wanted.tls else {})
    labels = {NODE: wanted.name, PRIMARY: wanted.primary, ADDRESS: wanted.address}
    container = Container(
        name=shapes.container_name(plan.lab, wanted.name),
        hostname=wanted.hostname,
        endpoint=shapes.endpoint(*plan.endpoint(wanted.name)),
        environment=_environment(wanted),
        labels=shapes.lab_labels(plan.lab, plan.run, IMAP_ROLE) | labels,
        volume=volume_of(primary),
        ports={f"{port}/tcp": (LOCALHOST, free_port()) for port in ports.values()}
        if networks.publish
        else {},
        dns=primary.dns,
        search=primary.search,
        rights=RIGHTS,
    )
    return container_maker(image, container, networks)


def _environment(wanted: ImapPlan) -> dict[str, str]:
    """What `compose/dovecot/start` reads."""
    environment = {"MXLAB_DOMAIN": wanted.domain}
    if wanted.tls is not None:
        environment |= {
            "MXLAB_CERTIFICATE": wanted.tls.certificate,
            "MXLAB_KEY": wanted.tls.key,
            "MXLAB_CA": wanted.tls.ca,
        }
    return environment
