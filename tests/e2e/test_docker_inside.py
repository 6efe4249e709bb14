"""What a student finds inside a node, and what the engine says of its walls."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from typing import Any

import docker
import pytest
import pytest_asyncio
import yaml

from mxlab.backends.base import CanExec, Node, Order
from mxlab.backends.docker import DockerBackend, DockerLab
from mxlab.backends.docker.compose import export_compose
from mxlab_services.control.requests import MailboxList, Ping
from mxlab_services.events import MailboxDelivered
from tests.support.programs import needs, require

pytestmark = [pytest.mark.docker, pytest.mark.asyncio(loop_scope="module")]

LAB = f"inside-{os.getpid()}"


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


@pytest_asyncio.fixture(scope="module", loop_scope="module", name="lab")
async def _lab() -> AsyncIterator[DockerLab]:
    async with DockerBackend().deploy(Order(LAB, "r1"), quiet) as lab:
        yield lab


async def run(*command: str) -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def inside(node: Node, *command: str) -> tuple[int, str]:
    assert isinstance(node, CanExec)
    return await run(*node.exec_command(command, interactive=False))


async def inspect(lab: str) -> dict[str, Mapping[str, Any]]:
    """Node -> what the engine says of its container."""

    def work() -> dict[str, Mapping[str, Any]]:
        api = docker.APIClient()
        try:
            found = api.containers(filters={"label": f"mxlab.lab={lab}"})
            inspected = [api.inspect_container(container["Id"]) for container in found]
        finally:
            api.close()
        return {c["Config"]["Labels"]["mxlab.node"]: c for c in inspected}

    return await asyncio.to_thread(work)


async def test_containers_are_hardened(lab: DockerLab) -> None:
    for name, container in (await inspect(LAB)).items():
        host = container["HostConfig"]
        assert container["Config"]["User"] == "2525:2525", name
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert host["ReadonlyRootfs"] is True
        assert host["Privileged"] is False
        assert "no-new-privileges:true" in host["SecurityOpt"]
        assert 0 < host["Memory"] <= 256 * 2**20
        assert 0 < host["PidsLimit"] <= 128
        assert host["PortBindings"] in ({}, None)


@needs("docker")
async def test_no_name_of_the_lab_is_known_to_the_engine(lab: DockerLab) -> None:
    """A node's libc asks the engine, which knows hostnames, too: a zone that is broken must be."""
    client, name = lab.nodes["client"], "mx1.example.test"
    assert await inside(client, "hostname", "-f") == (0, "client.client.test\n")
    assert (await inside(client, "dig", "+short", name))[1].startswith("10.")
    await lab.nodes["dns"].kill()
    try:
        code, output = await inside(client, "dig", "+short", "+time=1", "+tries=1", name)
        assert code != 0 or not output, output
    finally:
        await lab.nodes["dns"].start()


@needs("docker")
async def test_walls_hold_from_inside(lab: DockerLab) -> None:
    client = lab.nodes["client"]
    assert await inside(client, "id", "-u") == (0, "2525\n")
    code, output = await inside(client, "touch", "/etc/x")
    assert code != 0
    assert "Read-only file system" in output
    code, output = await inside(client, "grep", "-E", "CapEff|NoNewPrivs", "/proc/self/status")
    assert output.split() == ["CapEff:", "0" * 16, "NoNewPrivs:", "1"]


@needs("docker")
async def test_network_has_no_route_out(lab: DockerLab) -> None:
    """A listener on the engine's default network answers this machine, and no node of the lab."""
    api = docker.APIClient()
    image = (await inspect(LAB))["client"]["Image"]
    listener = api.create_container(image, ["-lkv", "2525"], entrypoint=["nc"])["Id"]
    try:
        api.start(listener)
        network = api.inspect_container(listener)["NetworkSettings"]
        address = str(network["Networks"]["bridge"]["IPAddress"])
        await _first_line("docker", "logs", "--follow", listener)  # it says that it listens
        _, writer = await asyncio.open_connection(address, 2525)
        writer.close()
        await writer.wait_closed()
        code, _ = await inside(lab.nodes["client"], "nc", "-z", "-w", "2", address, "2525")
        assert code != 0
    finally:
        api.remove_container(listener, force=True)
        api.close()


async def _first_line(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        assert await process.stdout.readline()
    process.terminate()
    await process.communicate()


@needs("docker")
async def test_system_resolver_is_the_labs_dns(lab: DockerLab) -> None:
    code, output = await inside(lab.nodes["client"], "dig", "+short", "mx", "example.test")
    assert (code, sorted(output.splitlines())) == (
        0,
        ["10 mx1.example.test.", "20 mx2.example.test."],
    )
    _, output = await inside(lab.nodes["client"], "dig", "mx", "example.com")
    assert "status: REFUSED" in output or "status: SERVFAIL" in output


@needs("docker")
async def test_swaks_needs_no_flags(lab: DockerLab) -> None:
    delivered = asyncio.create_task(_first_delivery(lab.nodes["mx1"]))
    code, output = await inside(lab.nodes["client"], "swaks", "--to", "bob@example.test")
    assert code == 0, output
    assert "=== Connected to mx1.example.test" in output or "=== Connected to 10." in output
    async with asyncio.timeout(20):
        assert (await delivered).recipient == "bob@example.test"
    mailbox = await lab.nodes["mx1"].request(MailboxList("bob@example.test"))
    assert len(mailbox) == 1


@needs("docker")
async def test_swaks_can_speak_tls(lab: DockerLab) -> None:
    _, support = await inside(lab.nodes["client"], "swaks", "--support")
    assert "=== TLS supported" in support


async def _first_delivery(node: Node) -> MailboxDelivered:
    async for event in node.events():
        if isinstance(event.body, MailboxDelivered):
            return event.body
    raise AssertionError("the node's events ended")


async def test_logs_are_standard_error_by_name(lab: DockerLab) -> None:
    lines = [line async for line in lab.logs("mx1", follow=False)]
    assert not any(line.startswith('{"at"') for line in lines)


async def test_overlapping_requests_find_their_answers(lab: DockerLab) -> None:
    answers = await asyncio.gather(*(lab.nodes["mx2"].request(Ping()) for _ in range(50)))
    assert {answer.node for answer in answers} == {"mx2"}


async def _compose() -> tuple[str, ...]:
    """Compose as this machine has it: a plugin of the docker command, or the older program."""
    if shutil.which("docker") and (await run("docker", "compose", "version"))[0] == 0:
        return ("docker", "compose")
    require("docker-compose")
    return ("docker-compose",)


async def test_compose_makes_the_same_lab(lab: DockerLab, tmp_path_factory: Any) -> None:
    """Plain Compose, no mxlab; then the backend finds, uses and removes it by its labels."""
    compose = await _compose()
    name = f"compose-{os.getpid()}"
    file = tmp_path_factory.mktemp("compose") / "compose.yaml"
    document = yaml.safe_load(export_compose(lab=name))
    subnet = document["networks"]["lab"]["ipam"]["config"][0]["subnet"].rsplit(".", 1)[0]
    text = json.dumps(document).replace(subnet + ".", "10.99.99.")  # others may have that one
    file.write_text(text)
    code, output = await run(*compose, "-p", name, "-f", str(file), "up", "-d")
    assert code == 0, output
    try:
        by_compose, ours = await inspect(name), await inspect(LAB)
        for node, container in by_compose.items():
            assert _walls(container) == _walls(ours[node])
        async with DockerBackend().attach(name) as found:
            assert list(found.nodes) == ["dns", "mx1", "mx2", "client"]
            async for event in found.nodes["mx1"].events():
                assert event.kind == "node.ready"
                break
            assert (await found.nodes["mx1"].request(Ping())).node == "mx1"
    finally:
        removed = await DockerBackend().remove(name)
    assert len(removed.items) == 8
    assert await inspect(name) == {}


def _walls(container: Mapping[str, Any]) -> dict[str, Any]:
    """Everything about a container that both ways of making it must agree on."""
    host = container["HostConfig"]
    keys = ("CapDrop", "ReadonlyRootfs", "SecurityOpt", "Memory", "MemorySwap", "PidsLimit",
            "Sysctls", "DnsSearch", "Tmpfs", "LogConfig", "Privileged")  # fmt: skip
    config = container["Config"]
    return {key: host[key] for key in keys} | {
        key: config[key] for key in ("User", "Hostname", "Entrypoint", "Cmd")
    }
