"""Probes what works on this machine. Tries each thing rather than assuming it; changes nothing."""

import asyncio
import os
import platform
import re
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mxlab.errors import LabError
from mxlab.model.scenario import BackendName

if TYPE_CHECKING:
    from mxlab.backends.docker.engine import Engine
    from mxlab.backends.docker.image import Store

Result = Literal["ok", "warning", "problem"]

OLDEST_PYTHON = (3, 11)
OLDEST_ENGINE = (20, 10)
# Inside an internal network of these engines, 127.0.0.11 does not reach the lab's DNS server.
BROKEN_DNS = ((25, 0, 0), (26, 1, 2))
NODES = 4
ACTIVE = 200  # attempts at a time of one node, each with a connection and a lookup
OWN_FILES = 50  # of a node at rest, at most: its database, its sockets, its libraries


@dataclass(frozen=True, slots=True)
class MachineCheck:
    """One thing that was tried. A `problem` keeps `world` from working; a `warning` does not."""

    name: str
    world: BackendName | Literal["both"]
    result: Result
    found: str
    hint: str = ""


def works(checks: list[MachineCheck], world: str) -> bool:
    """Whether labs of that world can be brought up here."""
    return not any(c.result == "problem" and c.world in (world, "both") for c in checks)


async def examine() -> list[MachineCheck]:
    """Try everything; never raises for what it finds."""
    docker, process = await asyncio.gather(_docker(), asyncio.to_thread(processes))
    return [_python(), *docker, *process, _netem()]


def _python() -> MachineCheck:
    found = f"Python {platform.python_version()}"
    if sys.version_info < OLDEST_PYTHON:
        return MachineCheck("python", "both", "problem", found, "install Python 3.11 or later")
    return MachineCheck("python", "both", "ok", found)


# --- docker --------------------------------------------------------------------------------------


async def _docker() -> list[MachineCheck]:
    from mxlab.backends.docker import ImageStore
    from mxlab.backends.docker.engine import connect

    try:
        engine = await connect()
    except LabError as error:
        return [MachineCheck("engine", "docker", "problem", str(error), error.hint), _base_tools()]
    try:
        version = await engine.call("tell its version", lambda api: api.version()["Version"])
        return [
            engine_check(str(version), engine.endpoint.url),
            await _image(engine),
            _base_tools(),
            *await products(ImageStore(engine)),
            await _subnet(engine),
        ]
    except LabError as error:
        return [MachineCheck("engine", "docker", "problem", str(error), error.hint)]
    finally:
        engine.close()


def engine_check(version: str, where: str) -> MachineCheck:
    """What is known of an engine of that version."""
    found = f"Docker {version} at {where}"
    numbers = tuple(int(word) for word in re.findall(r"\d+", version)[:3])
    if numbers[:2] < OLDEST_ENGINE:
        return MachineCheck("engine", "docker", "problem", found, "20.10 or later is needed")
    if BROKEN_DNS[0] <= numbers <= BROKEN_DNS[1]:
        return MachineCheck(
            "engine",
            "docker",
            "warning",
            f"{found}: 25.0 to 26.1.2 do not pass DNS on in internal networks (moby #47822), "
            "so dig and swaks in `mxlab shell` will not see the lab's names",
            "update the engine to 26.1.3 or later",
        )
    return MachineCheck("engine", "docker", "ok", found)


async def _image(engine: "Engine") -> MachineCheck:
    from mxlab.backends.docker import ImageStore
    from mxlab.backends.docker import image as images

    store = ImageStore(engine)
    for kind in images.KINDS:
        if await store.present(images.image_tag(kind)):
            return MachineCheck("image", "docker", "ok", f"{images.image_tag(kind)} is there")
    return MachineCheck(
        "image",
        "docker",
        "warning",
        "the image is not there; the first `mxlab up` builds it",
        "`mxlab image build` now, or `mxlab image load FILE`",
    )


async def products(store: "Store") -> list[MachineCheck]:
    """Of each mail server that a node may run beside ours: its image, and what its container may
    do that no other may."""
    from mxlab.backends.docker.products import MAIL_SERVERS, base_present, present_product
    from mxlab.backends.docker.shape import RIGHTS
    from mxlab.model.software import SOFTWARE

    found = []
    for product in MAIL_SERVERS:
        entry = next(one for name, one in SOFTWARE.items() if name == product.name)
        rights = next(one for name, one in RIGHTS.items() if name == product.name)
        kept = ", ".join(rights.capabilities)
        runs = (
            f"it runs as root with {kept}" if kept else "it runs as one user, who may nothing more"
        )
        hint = f"`mxlab image build --product {product.name}` now"
        if (image := await present_product(store, product)) is not None:
            check = MachineCheck(entry.title, "docker", "ok", f"{image} is there; {runs}")
        elif shutil.which("mmdebstrap") or await base_present(store, product):
            text = f"its image is built when a lab first wants it; {runs}"
            check = MachineCheck(entry.title, "docker", "ok", text, hint)
        else:
            text = f"its image is not there, and needs a registry to come from; {runs}"
            hint = f"{hint}, or `mxlab image load {product.name}.tar`"
            check = MachineCheck(entry.title, "docker", "warning", text, hint)
        found.append(check)
    return found


def _base_tools() -> MachineCheck:
    if shutil.which("mmdebstrap"):
        return MachineCheck(
            "base tools", "docker", "ok", "mmdebstrap can make a base with no registry"
        )
    return MachineCheck(
        "base tools",
        "docker",
        "warning",
        "no mmdebstrap: the image needs a registry to come from, or a saved file",
        "on Debian: apt-get install mmdebstrap",
    )


async def _subnet(engine: "Engine") -> MachineCheck:
    from mxlab.backends.docker.subnets import Network, Taken, free_subnets, host_routes

    networks = await engine.call("list networks", lambda api: api.networks())
    taken = [
        Taken(Network(pool["Subnet"], strict=False), f"the Docker network {network['Name']!r}")
        for network in networks
        for pool in (network.get("IPAM") or {}).get("Config") or ()
        if ":" not in pool.get("Subnet", ":")
    ]
    try:
        subnet = next(free_subnets([*taken, *host_routes()]))
    except LabError as error:
        return MachineCheck("subnet", "docker", "problem", str(error), error.hint)
    return MachineCheck("subnet", "docker", "ok", f"{subnet} is free")


# --- local processes -----------------------------------------------------------------------------


def processes() -> list[MachineCheck]:
    """What matters to labs of processes."""
    if sys.platform != "linux" or not hasattr(os, "pidfd_open"):
        return [
            MachineCheck(
                "processes", "process", "problem", "labs of processes need Linux 5.3 or later"
            )
        ]
    return [_state_folder(), _loopback(), _low_ports(), _open_files()]


def _state_folder() -> MachineCheck:
    from mxlab.backends.process.folder import state_root

    root = state_root()
    nearest = next(path for path in (root, *root.parents) if path.exists())
    if os.access(nearest, os.W_OK | os.X_OK):
        return MachineCheck("state folder", "process", "ok", f"{root} can be written")
    return MachineCheck(
        "state folder",
        "process",
        "problem",
        f"{nearest} cannot be written",
        "set MXLAB_STATE_DIR to a folder of yours",
    )


def _loopback() -> MachineCheck:
    from mxlab.backends.process.space import find_space

    try:
        world = find_space((), NODES)
    except LabError as error:
        return MachineCheck("local addresses", "process", "problem", str(error), error.hint)
    found = f"{world.subnet} is free, SMTP on port {world.smtp_port}, DNS on {world.dns_port}"
    return MachineCheck("local addresses", "process", "ok", found)


def _low_ports() -> MachineCheck:
    from mxlab.backends.process.space import low_ports_allowed

    if low_ports_allowed():
        return MachineCheck("low ports", "process", "ok", "this user may bind ports 25 and 53")
    return MachineCheck(
        "low ports",
        "process",
        "warning",
        "this user may not bind ports below 1024: 2525 and 5353 are used instead",
        "sysctl net.ipv4.ip_unprivileged_port_start=25 allows it",
    )


def _open_files() -> MachineCheck:
    """A node of processes has this process's limit; at its own limits it opens so many files."""
    import resource

    from mxlab_services.config import Limits

    limits = Limits()
    needed = limits.sessions + 2 * ACTIVE + OWN_FILES
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        found = "any number" if soft == resource.RLIM_INFINITY else str(soft)
        return MachineCheck("open files", "process", "ok", f"a process may open {found}")
    return MachineCheck(
        "open files",
        "process",
        "warning",
        f"a process may open {soft}; a busy node can come to {needed}, and accepts nobody then",
        f"`ulimit -n {needed}`, or more, before `mxlab up`",
    )


def _netem(
    modules: Path = Path("/lib/modules"), loaded: Path = Path("/sys/module")
) -> MachineCheck:
    kernel = modules / platform.release()
    known = any(
        "sch_netem" in (kernel / name).read_text(encoding="utf-8", errors="replace")
        for name in ("modules.dep", "modules.builtin")
        if (kernel / name).is_file()
    )
    if known or (loaded / "sch_netem").is_dir():
        return MachineCheck("netem", "docker", "ok", "the kernel has sch_netem")
    return MachineCheck(
        "netem",
        "docker",
        "warning",
        "this kernel has no sch_netem; nothing in the lab depends on it",
    )
