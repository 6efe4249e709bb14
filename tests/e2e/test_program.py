"""`python -m mxlab_services` as a process: configuration, signals, exit codes, the bridge."""

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from msgspec.structs import replace

from mxlab.plan.tls import Authority
from mxlab_services import events
from mxlab_services.config import MxConfig, encode_config
from mxlab_services.control.replies import Pong
from mxlab_services.control.requests import Ping, QueueList, Submit
from mxlab_services.control.rpc import decode_answer, encode_call
from tests.support.node_program import SECONDS, configured, running, spawn


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    config = configured(tmp_path, "dns")
    async with running(config) as process:
        process.send_signal(number)
        async with asyncio.timeout(SECONDS):
            out, log = await process.communicate()
        stopping = events.decode(out.splitlines()[-1]).body
        assert stopping == events.NodeStopping(number.name)
        assert process.returncode == 0
        assert log == b""
    assert not any(path.name == "dns.sock" for path in tmp_path.iterdir())  # noqa: ASYNC240


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("{", "configuration: "),
        ('{"role":"dns","node":"dns","address":"127.0.0.1","zones":5}', "zones"),
        ('{"role":"dns","node":"dns","address":"x","zones":{}}', "`address`"),
        ('{"role":"dns","node":"d","address":"127.0.0.1","zones":{"a.test":"@ IN A"}}', "a.test"),
    ],
)
async def test_a_wrong_configuration_is_one_line_and_exit_2(
    tmp_path: Path, text: str, wrong: str
) -> None:
    path = tmp_path / "config.json"
    control = tmp_path / "control.sock"
    path.write_text(text.replace('"role"', f'"control":"{control}","role"'))
    process = await spawn("mxlab_services", "--config", str(path))
    _, log = await process.communicate()
    assert process.returncode == 2
    assert wrong in log.decode()
    assert log.count(b"\n") == 1


async def test_an_authority_that_is_none_ends_the_start(tmp_path: Path) -> None:
    config = configured(tmp_path, "mx1")
    assert isinstance(config, MxConfig)
    wrong = replace(Authority("lab").issue(["mx1.example.test"], config.address), ca="none")
    process = await spawn("mxlab_services", config=replace(config, tls=wrong))
    _, log = await process.communicate()
    assert process.returncode == 2
    assert "`tls.ca`" in log.decode()
    assert log.count(b"\n") == 1


async def test_no_configuration_and_wrong_arguments_show_the_usage(tmp_path: Path) -> None:
    for arguments in ((), ("--help",), ("--config", str(tmp_path / "none.json"))):
        process = await spawn("mxlab_services", *arguments)
        _, log = await process.communicate()
        assert process.returncode == 2
        assert log.count(b"\n") == 1


async def test_an_address_that_is_taken_is_one_line_and_exit_1(tmp_path: Path) -> None:
    config = configured(tmp_path, "dns")
    (tmp_path / "other").mkdir()
    async with running(config):
        process = await spawn("mxlab_services", config=configured(tmp_path / "other", "dns"))
        _, log = await process.communicate()
        assert process.returncode == 1
        assert b"address already in use" in log
        assert log.count(b"\n") == 1


async def test_the_bridge_carries_requests_and_ends_with_its_input(tmp_path: Path) -> None:
    config = configured(tmp_path, "dns")
    async with running(config):
        bridge = await spawn("mxlab_services.control.bridge", config.control)
        assert bridge.stdin is not None
        assert bridge.stdout is not None
        async with asyncio.timeout(SECONDS):
            for number in range(3):
                bridge.stdin.write(encode_call(number, Ping()))
                line = await bridge.stdout.readline()
                _, pong = decode_answer(line, {number: Ping()})
                assert isinstance(pong, Pong)
                assert pong.node == "dns"
            bridge.stdin.close()
            assert await bridge.wait() == 0


async def test_a_bridge_to_nowhere_says_so(tmp_path: Path) -> None:
    bridge = await spawn("mxlab_services.control.bridge", str(tmp_path / "none.sock"))
    _, log = await bridge.communicate()
    assert bridge.returncode == 1
    assert b"No such file" in log


async def test_a_killed_client_still_has_its_queue(tmp_path: Path) -> None:
    config = configured(tmp_path, "client")  # no DNS answers: all mail waits
    submit, listing = Submit("a@client.test", ["b@example.test"], count=20), QueueList()
    async with running(config) as process:
        reader, writer = await asyncio.open_unix_connection(config.control)
        writer.write(encode_call(1, submit))
        async with asyncio.timeout(SECONDS):
            _, told = decode_answer(await reader.readline(), {1: submit})
        process.kill()
        writer.close()
    async with running(config):
        reader, writer = await asyncio.open_unix_connection(config.control)
        writer.write(encode_call(2, listing))
        async with asyncio.timeout(SECONDS):
            _, queue = decode_answer(await reader.readline(), {2: listing})
        writer.close()
    assert [entry.message for entry in queue] == [message.message for message in told]


async def test_mail_goes_on_when_nobody_reads_the_events(tmp_path: Path) -> None:
    config = configured(tmp_path, "client")
    submit = Submit("a@client.test", ["b@example.test"], count=3)
    out, into = os.pipe()
    environment = os.environ | {"MXLAB_CONFIG": encode_config(config)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "mxlab_services", stdout=into, stderr=PIPE, env=environment
    )
    os.close(into)
    try:
        async with asyncio.timeout(SECONDS):
            loop = asyncio.get_running_loop()
            ready = loop.create_future()
            loop.add_reader(out, ready.set_result, None)
            await ready
            loop.remove_reader(out)
            os.close(out)
            reader, writer = await asyncio.open_unix_connection(config.control)
            writer.write(encode_call(1, submit))
            _, told = decode_answer(await reader.readline(), {1: submit})
            assert len(told) == 3
            writer.close()
            process.terminate()
            _, log = await process.communicate()
        assert process.returncode == 0
        assert log.count(b"nobody reads the events") == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
