"""What only labs of local processes have to survive: torn files, stale numbers, a killed `up`."""

import asyncio
import contextlib
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mxlab.backends.base import Order
from mxlab.backends.process import ProcessBackend
from mxlab.backends.process.folder import LabFolder
from mxlab.backends.process.life import life_of, strays
from mxlab.backends.process.space import (
    SUBMISSION_PORTS,
    SUBMISSIONS_PORTS,
    find_space,
)
from mxlab.errors import AlreadyUp, EnvironmentProblem, SubnetClash
from mxlab.model.topology import Exchange, Topology
from mxlab.plan.plan import AddressPlan
from mxlab_services.control.requests import Ping
from mxlab_services.events import NodeReady

SMALL = Topology(mx=(Exchange("mx1", 10),))
SECONDS = 60


def quiet(_: str) -> None:
    pass


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(SECONDS):
        yield


@pytest.fixture
def name() -> str:
    return f"t-{secrets.token_hex(4)}"


@pytest.fixture
async def backend(tmp_path: Path, name: str) -> AsyncIterator[ProcessBackend]:
    found = ProcessBackend(tmp_path)
    yield found
    await found.remove(name)
    assert strays(tmp_path) == []


async def test_a_torn_line_is_skipped_and_the_next_life_whole(
    backend: ProcessBackend, name: str, tmp_path: Path
) -> None:
    async with backend.deploy(Order(name, "r", SMALL), quiet) as lab:
        node = lab.nodes["mx1"]
        await node.kill()
        with LabFolder(tmp_path, name).node("mx1").events.open("a") as file:
            file.write('{"at":1.0,"seq":1,"no')
        await node.start()
        bodies = [event.body async for event in node.events(follow=False)]
        assert [type(body) for body in bodies] == [NodeReady, NodeReady]


async def test_numbers_of_another_boot_are_nobodys(
    backend: ProcessBackend, name: str, tmp_path: Path
) -> None:
    async with backend.deploy(Order(name, "r", SMALL), quiet, keep=True) as lab:
        node = lab.nodes["mx1"]
        await node.kill()
        file = LabFolder(tmp_path, name).node("mx1").pid
        # A number that lives (ours), as a reboot might have given it away again.
        _, started, boot = file.read_text().split()
        for forged in (f"{os.getpid()} {started} {boot}", f"{os.getpid()} {started} another", ""):
            file.write_text(forged)
            assert await node.state() == "stopped"
            await node.kill()
    removed = await backend.remove(name)
    assert [kind for kind, _ in removed.items].count("process") == 2  # dns and client


async def test_a_folder_whose_path_is_too_long_for_a_socket(name: str, tmp_path: Path) -> None:
    root = tmp_path / ("deep" * 30)
    root.mkdir()
    backend = ProcessBackend(root)
    async with backend.deploy(Order(name, "r", SMALL), quiet, keep=True) as lab:
        assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"
    sockets = LabFolder(root, name).sockets
    assert sockets.is_dir()
    assert sockets.stat().st_mode & 0o077 == 0
    await backend.remove(name)
    assert not sockets.exists()
    assert not LabFolder(root, name).exists


async def test_what_is_half_made_is_told_and_removed(
    backend: ProcessBackend, name: str, tmp_path: Path
) -> None:
    (tmp_path / name / "mx1").mkdir(parents=True)  # killed before the record was written
    assert [(found.lab, dict(found.nodes)) for found in await backend.find()] == [(name, {})]
    with pytest.raises(AlreadyUp, match="something is left"):
        async with backend.deploy(Order(name, "r", SMALL), quiet):
            pass
    with pytest.raises(EnvironmentProblem, match="half made"):
        async with backend.attach(name):
            pass
    assert (await backend.remove(name)).items == (("folder", str(tmp_path / name)),)


UP = """
import asyncio, sys
from pathlib import Path
from mxlab.backends.base import Order
from mxlab.backends.process import ProcessBackend
from mxlab.model.topology import Exchange, Topology

async def main():
    order = Order(sys.argv[2], "r", Topology(mx=(Exchange("mx1", 10),)))
    async with ProcessBackend(Path(sys.argv[1])).deploy(order, print, keep=True):
        print("up")
        sys.stdout.flush()
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("moment", [b"starting the nodes\n", b"up\n"])
async def test_a_killed_up_leaves_nothing_that_down_does_not_find(
    backend: ProcessBackend, name: str, tmp_path: Path, moment: bytes
) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", UP, str(tmp_path), name), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while await process.stdout.readline() != moment:
        assert not process.stdout.at_eof()
    process.send_signal(signal.SIGKILL)
    await process.wait()
    removed = await backend.remove(name)
    assert ("folder", str(tmp_path / name)) in removed.items
    assert await backend.find() == []
    assert strays(tmp_path / name) == []
    assert (await backend.remove(name)).items == ()


async def test_while_another_up_is_at_work_the_name_is_taken(
    backend: ProcessBackend, name: str
) -> None:
    started = asyncio.Event()

    async def bring_up() -> None:
        async with backend.deploy(Order(name, "r", SMALL), lambda _: started.set()):
            pass

    task = asyncio.create_task(bring_up())
    await started.wait()
    with pytest.raises(AlreadyUp, match="at work"):
        async with backend.deploy(Order(name, "r", SMALL), quiet):
            pass
    await task


async def test_a_lab_removed_while_it_starts_is_an_error_not_a_ghost(
    backend: ProcessBackend, name: str, tmp_path: Path
) -> None:
    removal: list[asyncio.Task[object]] = []

    def progress(_: str) -> None:
        removal.append(asyncio.create_task(ProcessBackend(tmp_path).remove(name)))

    with pytest.raises(EnvironmentProblem):
        async with backend.deploy(Order(name, "r", SMALL), progress):
            pass
    await asyncio.gather(*removal)
    assert await backend.find() == []


async def test_nodes_outlive_the_session_that_started_them(
    backend: ProcessBackend, name: str, tmp_path: Path
) -> None:
    async with backend.deploy(Order(name, "r", SMALL), quiet) as lab:
        folder = LabFolder(tmp_path, name)
        for node in lab.nodes:
            life = life_of(folder.node(node))
            assert life is not None
            assert os.getsid(life.pid) == life.pid


def test_a_port_in_use_is_named_and_the_next_subnet_tried() -> None:
    free = find_space((), 3)
    address = free.subnet.replace(".0/24", ".3")
    with socket.socket() as holder:
        holder.bind((address, free.smtp_port))
        holder.listen(1)
        assert find_space((), 3) != free
    assert find_space([free.subnet], 3).subnet != free.subnet


def test_ports_for_submission_are_found_where_they_are_wanted() -> None:
    plain, wanted = find_space((), 3), find_space((), 3, submission=True)
    assert plain.submission_ports == AddressPlan(plain.subnet).submission_ports
    with contextlib.ExitStack() as held:
        for host in range(3):  # on this subnet every candidate but the last is taken
            for port in (*SUBMISSION_PORTS[:2], *SUBMISSIONS_PORTS[:2]):
                holder = held.enter_context(socket.socket())
                with contextlib.suppress(PermissionError):  # then it is not to be had anyway
                    holder.bind((wanted.subnet.replace(".0/24", f".{2 + host}"), port))
                    holder.listen(1)
        others = [f"127.83.{n}.0/24" for n in range(256)]
        others.remove(wanted.subnet)
        assert find_space(others, 3, submission=True).submission_ports == (10587, 10465)


def test_two_at_once_that_begin_at_the_same_subnet_get_two() -> None:
    """Neither has bound a port yet, and their folders know nothing of each other."""
    with contextlib.ExitStack() as claims:
        one = find_space((), 3, "same", claims)
        assert find_space((), 3, "same").subnet != one.subnet
    assert find_space((), 3, "same").subnet == one.subnet


def test_no_subnet_is_an_error_that_says_why() -> None:
    with pytest.raises(SubnetClash, match="in use by a lab"):
        find_space([f"127.83.{n}.0/24" for n in range(256)], 3)
