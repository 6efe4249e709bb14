"""A lab's life on a real engine: whole or not at all, one of a name, and gone when it is gone.

::

    deploy ──> network, containers ──> ready        every way in which it can be cut short,
    remove ──> nothing that bears its label         and what is left: nothing
"""

import asyncio
import contextlib
import ipaddress
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import dns.asyncquery
import dns.message
import docker
import pytest

from mxlab.backends.base import CanPublish, Order
from mxlab.backends.docker import DockerBackend
from mxlab.backends.docker.shape import LAB, RUN
from mxlab.errors import (
    AlreadyUp,
    NodeFailed,
    NodeUnreachable,
    NotUp,
    SubnetClash,
)
from mxlab.model.topology import Exchange, Topology
from mxlab_services.control.requests import Ping, Submit
from mxlab_services.events import NodeReady
from tests.support.programs import needs

pytestmark = pytest.mark.docker

SMALL = Topology(mx=(Exchange("mx1", 10),))


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


def things_of(lab: str) -> list[str]:
    """The names of all that bears the lab's label, asked without mxlab."""
    client = docker.APIClient()
    try:
        filters = {"label": f"{LAB}={lab}"}
        return [
            *(c["Names"][0] for c in client.containers(all=True, filters=filters)),
            *(n["Name"] for n in client.networks(filters=filters)),
            *(v["Name"] for v in client.volumes(filters=filters)["Volumes"] or ()),
        ]
    finally:
        client.close()


@pytest.fixture
async def lab_name(request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A name of the test's own; whatever it leaves is removed."""
    name = f"test-{os.getpid()}-{abs(hash(request.node.name)) % 10_000}"
    yield name
    await DockerBackend().remove(name)
    assert things_of(name) == []


async def test_leaving_removes_everything_and_remove_is_idempotent(lab_name: str) -> None:
    backend = DockerBackend()
    async with backend.deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        assert [found.lab for found in await backend.find() if found.lab == lab_name]
        assert list(lab.nodes) == ["dns", "mx1", "client"]
    assert things_of(lab_name) == []
    assert (await backend.remove(lab_name)).items == ()


async def test_keep_leaves_the_lab_for_a_fresh_process_to_attach(lab_name: str) -> None:
    backend = DockerBackend()
    async with backend.deploy(Order(lab_name, "r1", SMALL), quiet, keep=True) as lab:
        before = lab.plan
    async with DockerBackend().attach(lab_name) as again:
        assert again.plan == before
        assert (await again.nodes["mx1"].request(Ping())).node == "mx1"
    removed = await backend.remove(lab_name)
    assert {kind for kind, _ in removed.items} == {"container", "network", "volume"}
    with pytest.raises(NotUp):
        async with backend.attach(lab_name):
            pass


async def test_second_lab_of_a_name_is_refused_and_the_first_lives_on(lab_name: str) -> None:
    backend = DockerBackend()
    async with backend.deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        with pytest.raises(AlreadyUp):
            async with backend.deploy(Order(lab_name, "r2", SMALL), quiet):
                pass
        assert (await lab.nodes["dns"].request(Ping())).node == "dns"


async def test_of_two_deploys_at_once_exactly_one_comes_up(lab_name: str) -> None:
    release = asyncio.Event()
    up: list[str] = []

    async def deploy(run: str) -> str:
        try:
            async with DockerBackend().deploy(Order(lab_name, run, SMALL), quiet) as lab:
                up.append(run)
                await release.wait()
                assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"
                return "up"
        except AlreadyUp:
            return "refused"

    tasks = [asyncio.create_task(deploy(run)) for run in ("r1", "r2")]
    done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    assert [task.result() for task in done] == ["refused"]
    release.set()
    assert sorted(await asyncio.gather(*tasks)) == ["refused", "up"]


@pytest.mark.parametrize(
    "phase", ["looking at the engine", "creating the network", "starting the nodes"]
)
async def test_cancelled_deploy_leaves_nothing(lab_name: str, phase: str) -> None:
    begun = asyncio.Event()

    def progress(text: str) -> None:
        if text == phase:
            begun.set()

    async def deploy() -> None:
        async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), progress):
            await asyncio.Event().wait()

    task = asyncio.create_task(deploy())
    await begun.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert things_of(lab_name) == []


UP = """
import asyncio, sys
from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend

def say(text):
    print(text, flush=True)

async def main():
    async with DockerBackend().deploy(Order(sys.argv[1], "r1"), say):
        say("up")
        await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.parametrize("phase", ["starting the nodes", "up"])
async def test_remove_clears_what_a_killed_process_left(lab_name: str, phase: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UP, lab_name, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    while (line := await process.stdout.readline()).decode().strip() != phase:
        assert line, "the process ended before that phase"
    process.send_signal(signal.SIGKILL)
    await process.wait()
    with contextlib.suppress(AlreadyUp):  # what is left is in the way of a new one
        async with DockerBackend().deploy(Order(lab_name, "r2"), quiet):
            pytest.fail("came up over the remains of another lab")
    await DockerBackend().remove(lab_name)
    assert things_of(lab_name) == []


async def test_subnet_clash_names_the_network_in_the_way(lab_name: str) -> None:
    async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        other = f"{lab_name}-b"
        backend = DockerBackend(subnet=lab.plan.subnet)
        with pytest.raises(SubnetClash, match=f"mxlab-{lab_name}"):
            async with backend.deploy(Order(other, "r2", SMALL), quiet):
                pass
        assert things_of(other) == []
        async with DockerBackend().deploy(Order(other, "r2", SMALL), quiet) as second:
            first_net, second_net = (
                ipaddress.ip_network(plan.subnet) for plan in (lab.plan, second.plan)
            )
            assert not first_net.overlaps(second_net)


async def test_events_are_whole_across_restarts(lab_name: str) -> None:
    async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        node = lab.nodes["mx1"]
        ready = 0
        following = node.events()
        async for event in following:
            if isinstance(event.body, NodeReady):
                ready += 1
                match ready:
                    case 1:
                        await node.kill()
                        assert await node.state() == "stopped"
                        with pytest.raises(NodeUnreachable, match="mx1 is stopped"):
                            await node.request(Ping())
                        await node.start()
                    case 2:
                        await node.stop()
                        await node.start()
                    case _:
                        break
        await following.aclose()  # type: ignore[attr-defined]
        seen = [event async for event in node.events(follow=False)]
        assert sum(isinstance(event.body, NodeReady) for event in seen) == 3
        lives = "".join(str(event.seq) for event in seen).split("0")[1:]
        assert all(life == "".join(map(str, range(1, len(life) + 1))) for life in lives)


async def test_paused_node_is_unreachable_until_resumed(lab_name: str) -> None:
    async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        node = lab.nodes["mx1"]
        await node.request(Ping())
        await node.pause()
        with pytest.raises(NodeUnreachable, match="mx1 is paused"):
            await node.request(Ping())
        await node.resume()
        assert (await node.request(Ping())).node == "mx1"


async def test_node_that_dies_while_starting_shows_its_last_lines(
    lab_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mxlab.backends.docker import shape

    monkeypatch.setattr(shape, "encode_config", lambda config: '{"role": "nonsense"}')
    with pytest.raises(NodeFailed, match=r"died while starting.*last lines") as failure:
        async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), quiet):
            pass
    assert "nonsense" in str(failure.value)
    assert things_of(lab_name) == []


async def test_published_ports_answer_on_loopback_and_survive_a_restart(lab_name: str) -> None:
    order = Order(lab_name, "r1", SMALL, publish=True)
    async with DockerBackend().deploy(order, quiet) as lab:
        node = lab.nodes["mx1"]
        assert isinstance(node, CanPublish)
        (host, port) = (await node.published())["smtp"]
        assert host == "127.0.0.1"
        await node.kill()
        await node.start()
        reader, writer = await asyncio.open_connection(host, port)
        assert (await reader.readline()).startswith(b"220 ")
        writer.close()
        await writer.wait_closed()
        server = lab.nodes["dns"]
        assert isinstance(server, CanPublish)
        (host, port) = (await server.published())["dns"]
        question = dns.message.make_query("example.test", "MX")
        answer = await dns.asyncquery.udp(question, host, timeout=20, port=port)
        assert [rdata.to_text() for rdata in answer.answer[0]] == ["10 mx1.example.test."]


async def test_nothing_is_published_unasked(lab_name: str) -> None:
    async with DockerBackend().deploy(Order(lab_name, "r1", SMALL), quiet) as lab:
        for node in lab.nodes.values():
            assert isinstance(node, CanPublish)
            assert await node.published() == {}


LOSE = """
import asyncio, sys
from mxlab.backends.base import Order
from mxlab.backends.docker import DockerBackend
from mxlab.errors import LabError

async def main():
    try:
        async with DockerBackend().deploy(Order(sys.argv[1], "r1"), lambda text: None) as lab:
            print("up", flush=True)
            sys.stdin.readline()
            try:
                await lab.nodes["mx1"].state()
            except LabError as error:
                print(type(error).__name__, error.exit_code, error, flush=True)
    except LabError as error:
        print(type(error).__name__, error.exit_code, error, flush=True)

asyncio.run(main())
"""


async def test_engine_that_goes_away_is_an_error_and_no_traceback(
    lab_name: str, tmp_path: Path
) -> None:
    path = tmp_path / "engine.sock"
    pipe = asyncio.subprocess.PIPE
    async with relayed_engine(path) as cut:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", LOSE, lab_name),
            stdin=pipe, stdout=pipe, stderr=pipe,
            env=os.environ | {"DOCKER_HOST": f"unix://{path}"},
        )  # fmt: skip
        assert process.stdout is not None
        assert await process.stdout.readline() == b"up\n"
        cut()
        output, errors = await process.communicate(b"\n")
    lines = output.decode().splitlines()
    assert [line.split(" the Docker")[0].split(" no Docker")[0] for line in lines] == [
        "NoEngine 3",  # from the request,
        "NoEngine 3",  # and from the removal, which cannot be done either
    ]
    assert errors == b""


@contextlib.asynccontextmanager
async def relayed_engine(path: Path) -> AsyncIterator[Callable[[], None]]:
    """The engine, reachable at `path` until the function that this yields is called."""
    writers: set[asyncio.StreamWriter] = set()

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_unix_connection("/var/run/docker.sock")
        writers.update((writer, back))
        await asyncio.gather(copy(reader, back), copy(there, writer))

    server = await asyncio.start_unix_server(serve, path)

    def cut() -> None:
        server.close()
        path.unlink(missing_ok=True)
        for writer in writers:
            writer.transport.abort()

    try:
        yield cut
    finally:
        cut()


HERE = """#!/bin/sh
# In the place of ssh: the far machine is this one.
while [ $# -gt 0 ] && [ "$1" != -- ]; do shift; done
[ $# -gt 0 ] && shift && exec env -u DOCKER_HOST "$@"
exit 0
"""


@needs("docker")
async def test_an_engine_behind_ssh_serves_like_any_other(
    lab_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ssh = tmp_path / "ssh"
    ssh.write_text(HERE)
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("DOCKER_HOST", "ssh://elsewhere")
    async with DockerBackend().deploy(Order(lab_name, "r1"), quiet) as lab:
        await lab.nodes["client"].request(Submit("alice@client.test", ["bob@example.test"]))
        async with asyncio.timeout(20):
            async for event in lab.nodes["mx1"].events():
                if event.kind == "mailbox.delivered":
                    break
    assert things_of(lab_name) == []


def test_labels_are_the_documented_ones() -> None:
    assert (LAB, RUN) == ("mxlab.lab", "mxlab.run")
