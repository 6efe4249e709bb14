"""Labs of local processes. All state lies in the state folder; processes outlive mxlab.

Guarantee: a lab is up whole or not at all. Whatever a failed or cancelled `deploy` created is gone
before its error is raised, two deploys of one name leave exactly one lab, and `remove` finds also
what a killed `deploy` left.
"""

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from mxlab.backends.base import (
    Found,
    Lab,
    Node,
    Order,
    Progress,
    Removal,
    refuse_imap,
    refuse_products,
)
from mxlab.backends.process import loopback
from mxlab.backends.process.folder import LabFolder, locked, state_root
from mxlab.backends.process.life import life_of, strays
from mxlab.backends.process.node import ProcessNode
from mxlab.backends.process.space import find_space
from mxlab.backends.real.lab import RealLab
from mxlab.errors import (
    AlreadyUp,
    EnvironmentProblem,
    LabError,
    NotUp,
    Unsupported,
    first_of_group,
)
from mxlab.names import check_lab_name
from mxlab.plan.plan import Plan, make_plan, search_list
from mxlab_services.config import TimeConfig

END_SECONDS = 10.0  # for killed processes to go
ROUNDS = 3


class ProcessLab(RealLab[ProcessNode]):
    """A lab that is up."""

    backend = "process"

    def __init__(self, folder: LabFolder, plan: Plan) -> None:
        nodes = {
            config.node: ProcessNode(
                folder.node(config.node), config, search_list(plan.topology, config.node)
            )
            for config in plan.nodes
        }
        super().__init__(plan, nodes)

    async def start(self) -> None:
        """Start all nodes, in parallel, each ready. Raises the first LabError."""
        with first_of_group(LabError):
            async with asyncio.TaskGroup() as group:
                for node in self._nodes.values():
                    group.create_task(node.start())


class ProcessBackend:
    """Labs of local processes, their state below `root` (see `folder.state_root`)."""

    name = "process"
    node_type: type[Node] = ProcessNode
    lab_type: type[Lab] = ProcessLab

    def __init__(self, root: Path | None = None) -> None:
        self._root = root

    async def prepare(self, progress: Progress) -> None:
        if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
            raise Unsupported(
                "labs of local processes need Linux 5.3 or later", "use `--backend docker`"
            )

    @contextlib.asynccontextmanager
    async def deploy(
        self, order: Order, progress: Progress, *, keep: bool = False
    ) -> AsyncIterator[ProcessLab]:
        await self.prepare(progress)
        check_lab_name(order.lab)
        refuse_imap(order.topology, self.name)
        refuse_products(order.topology, self)
        folder = LabFolder(self._make_root(), order.lab)
        lab = await self._bring_up(folder, order, progress)
        try:
            yield lab
        finally:
            try:
                await lab.let_go()
            finally:
                if not keep:
                    _remove(folder)

    async def _bring_up(self, folder: LabFolder, order: Order, progress: Progress) -> ProcessLab:
        with contextlib.ExitStack() as claims:
            with locked(folder.path.parent, wait=True):
                self._claim(folder)
                claims.enter_context(locked(folder.path, wait=True))
                try:
                    plan = self._plan(folder, order, claims)
                except BaseException as error:
                    _undo(folder, error)
                    raise
            try:
                progress("starting the nodes")
                lab = ProcessLab(folder, plan)
                await lab.start()
                if folder.read() != plan:
                    raise EnvironmentProblem(
                        f"the lab {order.lab!r} was removed while it started", "try again"
                    )
            except BaseException as error:
                _undo(folder, error)
                raise
        return lab

    def _claim(self, folder: LabFolder) -> None:
        """Make the lab's folder. Raises AlreadyUp, which tells what is there."""
        try:
            folder.path.mkdir(mode=0o700)
        except FileExistsError:
            down = f"`mxlab down --lab {folder.lab}` removes it"
            try:
                with locked(folder.path, wait=False) as ours:
                    busy = not ours
            except FileNotFoundError:
                busy = True
            if busy:
                raise AlreadyUp(
                    f"another `mxlab up` is at work on the lab {folder.lab!r}",
                    "wait for it, or give this one another name with --lab",
                ) from None
            if "running" in _found(folder).nodes.values():
                raise AlreadyUp(
                    f"a lab called {folder.lab!r} is up", f"{down}; or use another name with --lab"
                ) from None
            raise AlreadyUp(f"something is left of a lab called {folder.lab!r}", down) from None
        except OSError as error:
            raise EnvironmentProblem(f"{folder.path} cannot be made: {error.strerror}") from error

    def _plan(self, folder: LabFolder, order: Order, claims: contextlib.ExitStack) -> Plan:
        others = [other.read() for other in self._folders(folder.path.parent)]
        space = find_space(
            (other.subnet for other in others if other is not None),
            len(order.topology.hosts),
            str(folder.path),
            claims,
            submission=order.topology.submission is not None,
        )
        epoch = order.time.epoch or time.time()  # noqa: TID251 - when this lab's time begins
        world = replace(
            space,
            control=f"{folder.sockets}/{{node}}.sock",
            data=f"{folder.path}/{{node}}/data",
            time=TimeConfig(order.time.scale, epoch),
            seed=order.seed,
        )
        plan = make_plan(order.lab, order.run, order.topology, world, order.peers)
        loopback.check_addresses(plan.addresses)
        try:
            folder.write(plan)
        except OSError as error:
            raise EnvironmentProblem(f"{folder.path}: {error.strerror}") from error
        loopback.put(plan.addresses)
        return plan

    @contextlib.asynccontextmanager
    async def attach(self, lab: str) -> AsyncIterator[ProcessLab]:
        check_lab_name(lab)
        folder = LabFolder(self._root or state_root(), lab)
        if not folder.exists:
            raise NotUp(
                f"no lab called {lab!r} is up as processes", "`mxlab up`, or see `mxlab status`"
            )
        written = folder.read()
        if written is None:
            raise EnvironmentProblem(
                f"the lab {lab!r} was left half made, or made by another version of mxlab",
                f"`mxlab down --lab {lab}`, then `mxlab up`",
            )
        found = ProcessLab(folder, written)
        try:
            yield found
        finally:
            await found.let_go()

    async def find(self) -> list[Found]:
        return [_found(folder) for folder in self._folders(self._root or state_root())]

    async def remove(self, lab: str) -> Removal:
        check_lab_name(lab)
        return _remove(LabFolder(self._root or state_root(), lab))

    def _folders(self, root: Path) -> list[LabFolder]:
        try:
            return [LabFolder(root, path.name) for path in sorted(root.iterdir()) if path.is_dir()]
        except FileNotFoundError:
            return []

    def _make_root(self) -> Path:
        root = self._root or state_root()
        try:
            root.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentProblem(
                f"{root} cannot be made: {error.strerror}", "set MXLAB_STATE_DIR to another folder"
            ) from error
        return root


def _found(folder: LabFolder) -> Found:
    written = folder.read()
    if written is None:
        return Found("process", folder.lab, "", {})
    states = {}
    for config in written.nodes:
        life = life_of(folder.node(config.node))
        states[config.node] = life.state if life else "stopped"
    return Found("process", folder.lab, written.run, states)


def _undo(folder: LabFolder, error: BaseException) -> None:
    """Remove what a deploy created; a failure to do so is added to `error`."""
    try:
        _remove(folder)
    except LabError as second:
        error.add_note(f"and then: {second}; `mxlab down --lab {folder.lab}` tries again")


def _remove(folder: LabFolder) -> Removal:
    """End the processes and take the folders away, and look again.

    Nothing is awaited, so that no cancellation leaves it half done.
    """
    removed: list[tuple[str, str]] = []
    for _ in range(ROUNDS):  # whoever brings it up may be at work
        living = strays(folder.path)
        if not living and not folder.exists and not folder.sockets.exists():
            return Removal(tuple(dict.fromkeys(removed)))
        for node, life in living:
            if not life.end_now(END_SECONDS):
                raise EnvironmentProblem(f"process {life.pid} does not end", "see `ps`")
            removed.append(("process", f"{node} ({life.pid})"))
        if written := folder.read():
            taken = loopback.take_away(written.networks)
            removed += [("address", address) for address in taken]
        removed += folder.remove()
    raise EnvironmentProblem(
        f"the lab {folder.lab!r} comes back while it is removed", "end the other mxlab first"
    )
