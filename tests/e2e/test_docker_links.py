"""Faults of the links between containers: felt, kept over a restart, and undone for certain.

::

    client ──x── mx1        rules of nftables where packets arrive, put there by a helper
       └──────── mx2 ──x─┘  that is gone when they are
"""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import docker
import pytest
import pytest_asyncio

from mxlab.backends.base import Order, Shape
from mxlab.backends.docker import DockerBackend, DockerLab
from mxlab.backends.docker.shape import LINK
from mxlab.errors import UsageError
from mxlab.faults import inject, undo
from mxlab.model.mechanism import CutLink, Drop, LimitRate, Loss, Partition, Reject

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

LAB = f"links-{os.getpid()}"
SECONDS = 60.0
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 25), 2) as s:
        s.settimeout(5)
        print(s.recv(3).decode())
except OSError as error:
    print(type(error).__name__, error.errno)
"""
TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], 25), 100) as s:
    s.recv(1000)
    s.sendall(b"EHLO x\\r\\n")
    s.recv(1000)
    sent = 8
    try:
        while sent + 31 <= int(sys.argv[2]):
            s.sendall(b"NOOP " + 24 * b"x" + b"\\r\\n")
            s.recv(1000)
            sent += 31
        print("all")
    except OSError as error:
        print(type(error).__name__, sent)
"""


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="lab")
async def _lab() -> AsyncIterator[DockerLab]:
    async with DockerBackend().deploy(Order(LAB, "r1"), quiet) as lab:
        yield lab


async def inside(node: str, program: str, *words: object) -> str:
    def work() -> str:
        api = docker.APIClient()
        try:
            command = ["python3", "-c", program, *map(str, words)]
            made = api.exec_create(f"mxlab-{LAB}-{node}", command)
            return str(api.exec_start(made["Id"]).decode().strip())
        finally:
            api.close()

    return await asyncio.to_thread(work)


async def in_the_namespace(node: str, *command: str) -> str:
    """What a program says that may look at the node's network from within."""

    def work() -> str:
        client = docker.from_env()
        try:
            container = client.containers.get(f"mxlab-{LAB}-{node}")
            said = client.containers.run(
                str(container.attrs["Image"]), list(command),
                entrypoint=[], user="0:0", remove=True,
                network_mode=f"container:{container.id}", cap_add=["NET_ADMIN"],
            )  # fmt: skip
            return bytes(said).decode()
        finally:
            client.close()

    return await asyncio.to_thread(work)


async def asked(lab: DockerLab, node: str, of: str) -> str:
    """What a connection from `node` to port 25 of `of` comes to."""
    return await inside(node, ASK, lab.plan.node(of).address)


def records(lab: str = LAB) -> list[str]:
    """The helpers that the engine has of this lab."""
    api = docker.APIClient()
    try:
        wanted = {"label": [f"mxlab.lab={lab}", LINK]}
        return [str(found["Names"][0]) for found in api.containers(all=True, filters=wanted)]
    finally:
        api.close()


async def test_a_drop_is_silence_both_ways_and_leaves_nothing(lab: DockerLab) -> None:
    fault = Drop("mx1")
    await inject(lab, "gone", fault)
    assert await asked(lab, "client", "mx1") == "TimeoutError None"
    assert await asked(lab, "mx1", "mx2") == "TimeoutError None"
    assert await asked(lab, "client", "mx2") == "220"
    await undo(lab, "gone", fault)
    assert await asked(lab, "client", "mx1") == "220"
    assert records() == []


async def test_a_partition_parts_only_those_that_it_names(lab: DockerLab) -> None:
    fault = Partition("mx1", peers=("mx2",))
    await inject(lab, "split", fault)
    assert await asked(lab, "mx2", "mx1") == "TimeoutError None"
    assert await asked(lab, "mx1", "mx2") == "TimeoutError None"
    assert await asked(lab, "client", "mx1") == "220"
    await undo(lab, "split", fault)
    assert await asked(lab, "mx2", "mx1") == "220"


@pytest.mark.parametrize(
    ("how", "felt"), [("reset", "ConnectionRefusedError 111"), ("prohibited", "OSError 113")]
)
async def test_a_reject_is_heard_at_once(lab: DockerLab, how: str, felt: str) -> None:
    fault = Reject("mx1", peers=("client",), how="reset" if how == "reset" else "prohibited")
    await inject(lab, "wall", fault)
    assert await asked(lab, "client", "mx1") == felt
    assert await asked(lab, "mx2", "mx1") == "220"
    await undo(lab, "wall", fault)
    assert await asked(lab, "client", "mx1") == "220"


async def test_a_cut_link_ends_the_first_connection_that_brings_more_and_no_other(
    lab: DockerLab,
) -> None:
    fault = CutLink("mx1", after=1000)
    mx1 = lab.plan.node("mx1").address
    await inject(lab, "scissors", fault)
    assert await inside("client", TALK, mx1, 1000) == "all"
    assert await inside("client", TALK, mx1, 2000) == "ConnectionResetError 1000"
    assert await inside("client", TALK, mx1, 2000) == "all"
    await undo(lab, "scissors", fault)


async def test_a_loss_slows_a_conversation_down_and_tcp_mends_it(lab: DockerLab) -> None:
    fault = Loss("mx1", share=0.1)
    await inject(lab, "noise", fault)
    assert await inside("client", TALK, lab.plan.node("mx1").address, 2000) == "all"
    for node in ("client", "mx1"):  # of some hundred packets: all may pass once in 10^8 runs
        rules = await in_the_namespace(node, "nft", "list", "ruleset")
        assert re.search(r"numgen random mod 100000 < 10000 counter packets [1-9]", rules)
    await undo(lab, "noise", fault)
    assert records() == []


@pytest.mark.parametrize("restarts", [False, True], ids=["at once", "after a restart"])
async def test_a_limited_rate_holds_a_sender_up_and_no_other(
    lab: DockerLab, restarts: bool
) -> None:
    """Not timed: what a kernel holds back, its own counters tell."""
    fault = LimitRate("mx1", peers=("client",), rate=50_000)
    await inject(lab, "narrow", fault)
    if restarts:
        await lab.nodes["mx1"].kill()
        await lab.nodes["mx1"].start()
    mx1 = lab.plan.node("mx1").address
    assert await inside("client", TALK, mx1, 20_000) == "all"
    shown = await in_the_namespace("client", "tc", "-s", "class", "show", "dev", "eth0")
    assert "rate 400Kbit" in shown
    assert sum(int(sent) for sent in re.findall(r"Sent (\d+) bytes", shown)) > 20_000
    assert "rate 400Kbit" in await in_the_namespace("mx1", "tc", "class", "show", "dev", "eth0")
    assert "htb" not in await in_the_namespace("mx2", "tc", "qdisc")
    await undo(lab, "narrow", fault)
    for node in ("client", "mx1"):
        assert "htb" not in await in_the_namespace(node, "tc", "qdisc")


async def test_a_node_that_starts_again_finds_its_links_as_they_were(lab: DockerLab) -> None:
    fault = Partition("mx1", peers=("client",))
    await inject(lab, "split", fault)
    mx1 = lab.nodes["mx1"]
    await mx1.kill()
    await mx1.start()
    assert await asked(lab, "client", "mx1") == "TimeoutError None"
    assert await asked(lab, "mx2", "mx1") == "220"
    await mx1.kill()
    await undo(lab, "split", fault)
    await mx1.start()
    assert await asked(lab, "client", "mx1") == "220"


async def test_a_fault_may_be_set_on_a_node_that_is_down(lab: DockerLab) -> None:
    mx1 = lab.nodes["mx1"]
    await mx1.stop()
    await lab.shape("later", "mx1", ("client",), Shape(drop=True))
    await mx1.start()
    assert await asked(lab, "client", "mx1") == "TimeoutError None"
    await lab.unshape("later")
    assert await asked(lab, "client", "mx1") == "220"


async def test_who_comes_later_sees_what_is_set_and_undoes_it(lab: DockerLab) -> None:
    await lab.shape("wall", "mx1", ("client",), Shape(reject="reset"))
    async with DockerBackend().attach(LAB) as other:
        assert list(other.nodes) == list(lab.nodes)
        assert await other.shapes() == {"wall": ("mx1", Shape(reject="reset"))}
        with pytest.raises(UsageError, match="is set already"):
            await other.shape("wall", "mx2", (), Shape(drop=True))
        await other.unshape("wall")
    assert await lab.shapes() == {}
    assert await asked(lab, "client", "mx1") == "220"


async def test_whoever_is_cancelled_leaves_all_of_a_fault_or_nothing(lab: DockerLab) -> None:
    setting = asyncio.ensure_future(lab.shape("half", "mx1", (), Shape(drop=True)))
    while not await asyncio.to_thread(records):
        assert not setting.done()
    setting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await setting
    assert list(await lab.shapes()) == ["half"]
    lifting = asyncio.ensure_future(lab.unshape("half"))
    await asyncio.sleep(0)
    lifting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await lifting
    await lab.unshape("half")  # whoever heals again finds nothing, or the rest
    assert await asked(lab, "client", "mx1") == "220"
    assert records() == []


STORY = """
mxlab: 1
title: Ctrl-C in a partition
needs: [partition]
topology: {domain: example.test, mx: [{host: mx1, preference: 10}, {host: mx2, preference: 20}]}
steps:
  - fault: {id: split, partition: {host: mx1, peers: [mx2]}}
  - wait: 1h
expect: [nothing-lost]
"""


async def test_an_interrupted_run_takes_its_helpers_along(tmp_path: Path) -> None:
    story = tmp_path / "story.yaml"
    story.write_text(STORY)
    name = f"{LAB}-run"
    words = ["run", str(story), "--backend", "docker", "--lab", name]
    process = await asyncio.create_subprocess_exec(
        *[sys.executable, "-u", "-c", "from mxlab.cli import main; main()", *words],
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    async with asyncio.timeout(SECONDS):
        while b"[2/2]" not in await process.stderr.readline():
            assert process.returncode is None
        assert len(records(name)) == 2
        process.send_signal(signal.SIGINT)
        await process.communicate()
    assert process.returncode == 130
    assert records(name) == []
