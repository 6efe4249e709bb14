"""What every world of real programs promises, over local processes and over Docker."""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from mxlab.backends.base import Backend, CanExec, CanPause, CanPublish, Node, Order
from mxlab.backends.real.remains import source_of
from mxlab.errors import (
    AlreadyUp,
    EnvironmentProblem,
    NodeFailed,
    NodeUnreachable,
    NotUp,
    Refused,
    UnknownName,
    UsageError,
)
from mxlab.model.topology import Exchange, Topology
from mxlab_services.config import TimeConfig
from mxlab_services.control.requests import (
    ConfigChange,
    ConfigList,
    MailboxList,
    MailboxRead,
    Ping,
    QueueFlush,
    QueueList,
    Submit,
)
from mxlab_services.events import (
    ConfigChanged,
    Deferred,
    Event,
    MailboxDelivered,
    NodeReady,
    NodeStopping,
    Outcome,
)
from tests.support.liveness import keeps_what_is_so_already, refuses_when_it_does_not_run
from tests.support.programs import require, require_namespace

SECONDS = 120  # what any of these may take, an image build included

Make = Callable[[], Backend]
SMALL = Topology(mx=(Exchange("mx1", 10),))


@pytest.fixture(params=["process", pytest.param("docker", marks=pytest.mark.docker)])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Makes a backend without any memory of others, as a fresh program has it."""
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path))
    if request.param == "docker":
        from mxlab.backends.docker import DockerBackend

        return DockerBackend
    from mxlab.backends.process import ProcessBackend

    return ProcessBackend


@pytest.fixture
async def name(make: Make) -> AsyncIterator[str]:
    """The name of a lab, which is gone after the test whatever happened."""
    lab = f"t-{secrets.token_hex(4)}"
    yield lab
    await make().remove(lab)


@pytest.fixture(autouse=True)
async def bounded() -> AsyncIterator[None]:
    async with asyncio.timeout(SECONDS):
        yield


def order(name: str, topology: Topology = SMALL, run: str = "first") -> Order:
    return Order(name, run, topology)


def quiet(_: str) -> None:
    pass


async def until(node: Node, wanted: type[object], after: int = 0) -> Event:
    """The event with that kind of body that follows `after` others of the kind."""
    async with contextlib.aclosing(node.events()) as stream:  # type: ignore[type-var]
        async for event in stream:
            if isinstance(event.body, wanted):
                if after == 0:
                    return event
                after -= 1
    raise AssertionError("the events ended")


async def labs(make: Make) -> set[str]:
    return {found.lab for found in await make().find()}


async def test_a_lab_comes_up_whole_and_leaves_nothing(make: Make, name: str) -> None:
    async with make().deploy(order(name, Topology()), quiet) as lab:
        assert list(lab.nodes) == ["dns", "mx1", "mx2", "client"]
        assert lab.name == name
        assert lab.run == "first"
        for node in lab.nodes.values():
            assert await node.state() == "running"
            assert (await node.request(Ping())).node == node.config.node
        found = [f for f in await make().find() if f.lab == name]
        assert [dict(f.nodes) for f in found] == [dict.fromkeys(lab.nodes, "running")]
        assert found[0].run == "first"
    assert name not in await labs(make)
    assert (await make().remove(name)).items == ()


async def test_a_kept_lab_is_found_by_a_fresh_program(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet, keep=True) as first:
        topology = first.topology
    async with make().attach(name) as lab:
        assert lab.topology == topology
        assert lab.run == "first"
        assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"
    removed = await make().remove(name)
    assert removed.items
    with pytest.raises(NotUp):
        async with make().attach(name):
            pass
    assert (await make().remove(name)).items == ()


async def test_a_name_that_is_up_is_refused_and_unharmed(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        with pytest.raises(AlreadyUp, match=name):
            async with make().deploy(order(name, run="second"), quiet):
                pass
        assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"


async def test_of_two_at_once_exactly_one_comes_up(make: Make, name: str) -> None:
    async def attempt(run: str) -> str:
        async with make().deploy(order(name, run=run), quiet, keep=True) as lab:
            return lab.run

    results = await asyncio.gather(attempt("a"), attempt("b"), return_exceptions=True)
    refused = [r for r in results if isinstance(r, BaseException)]
    assert [type(r) for r in refused] == [AlreadyUp]
    (run,) = [r for r in results if isinstance(r, str)]
    async with make().attach(name) as lab:
        assert lab.run == run
        for node in lab.nodes.values():
            assert await node.state() == "running"


async def test_two_labs_live_side_by_side(make: Make, name: str) -> None:
    other = f"{name}-other"
    try:
        async with (
            make().deploy(order(name), quiet) as one,
            make().deploy(order(other), quiet) as two,
        ):
            assert one.nodes["mx1"].config.address != two.nodes["mx1"].config.address
            assert {name, other} <= await labs(make)
    finally:
        await make().remove(other)


async def test_killed_is_stopped_and_starts_again(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        node = lab.nodes["mx1"]
        await node.kill()
        assert await node.state() == "stopped"
        with pytest.raises(NodeUnreachable) as problem:
            await node.request(Ping())
        assert "mxlab start mx1" in problem.value.hint
        await node.kill()  # what is dead stays so
        await node.start()
        assert await node.state() == "running"
        assert (await node.request(Ping())).node == "mx1"
        await node.start()  # what runs stays so
        kinds = [e.body async for e in node.events(follow=False)]
        assert sum(isinstance(body, NodeReady) for body in kinds) == 2


async def test_stopped_in_good_order_says_so(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        node = lab.nodes["mx1"]
        await node.stop()
        assert await node.state() == "stopped"
        *_, last = [event async for event in node.events(follow=False)]
        assert isinstance(last.body, NodeStopping)
        await node.stop()


async def test_paused_does_not_answer_until_resumed(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        node = lab.nodes["mx1"]
        assert isinstance(node, CanPause)
        await node.pause()
        assert await node.state() == "paused"
        with pytest.raises(NodeUnreachable) as problem:
            await node.request(Ping())
        assert "mxlab resume mx1" in problem.value.hint
        with pytest.raises(EnvironmentProblem):
            await node.start()
        await node.resume()
        assert await node.state() == "running"
        assert (await node.request(Ping())).node == "mx1"
        await node.pause()
        await node.kill()
        assert await node.state() == "stopped"


async def test_mail_flows_and_events_are_pushed(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        mx1, client = lab.nodes["mx1"], lab.nodes["client"]
        arrival = asyncio.create_task(until(mx1, MailboxDelivered))
        (sent,) = await client.request(Submit("alice@client.test", ["bob@example.test"]))
        assert (await arrival).message == sent.message
        (entry,) = await mx1.request(MailboxList("bob@example.test"))
        assert entry.digest == sent.digest


async def test_mail_outlives_a_kill(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        mx1, client = lab.nodes["mx1"], lab.nodes["client"]
        await mx1.kill()
        (sent,) = await client.request(Submit("alice@client.test", ["bob@example.test"]))
        await client.kill()
        await client.start()
        await mx1.start()
        await client.request(QueueFlush())
        assert (await until(mx1, MailboxDelivered)).message == sent.message


async def test_events_follow_across_restarts_in_order(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        node = lab.nodes["mx1"]
        second = asyncio.create_task(until(node, NodeReady, after=1))
        await node.kill()
        await node.start()
        assert (await second).seq == 0 or isinstance((await second).body, NodeReady)
        lives = [event.seq async for event in node.events(follow=False)]
        starts = [n for n, seq in enumerate(lives) if seq == 0]
        assert len(starts) == 2
        for begin, end in zip(starts, [*starts[1:], len(lives)], strict=True):
            assert lives[begin:end] == list(range(end - begin))


async def test_a_refusal_is_in_the_nodes_words(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        with pytest.raises(Refused, match="client: "):
            await lab.nodes["client"].request(Submit("alice@client.test", ["no address"]))


async def test_many_requests_at_once(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        pongs = await asyncio.gather(*(lab.nodes["mx1"].request(Ping()) for _ in range(50)))
        assert {pong.node for pong in pongs} == {"mx1"}


async def test_logs_of_a_node_that_is_not_there(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        with pytest.raises(UnknownName) as problem:
            async for _ in lab.logs("mx", follow=False):
                pass
        assert "mx1" in problem.value.hint


async def test_a_command_runs_inside(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        node = lab.nodes["client"]
        assert isinstance(node, CanExec)
        if lab.backend == "docker":
            require("docker")
        else:
            require_namespace()
        arguments = node.exec_command(("sh", "-c", "echo here; exit 7"), interactive=False)
        process = await asyncio.create_subprocess_exec(
            *arguments, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert (output, process.returncode) == (b"here\n", 7)


async def test_a_node_that_dies_while_starting_shows_its_last_lines(
    make: Make, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mistake that the plan would refuse is let through for the node to find."""
    monkeypatch.setattr("mxlab.plan.checked.topology_problems", lambda _: iter(()))
    bad = Topology(mx=(Exchange("mx1", 10),), schedule="never")
    with pytest.raises(NodeFailed, match=r"died while starting \(exit code 2\)(.|\n)*never"):
        async with make().deploy(order(name, bad), quiet):
            pass
    assert name not in await labs(make)
    assert (await make().remove(name)).items == ()


@pytest.mark.parametrize("seconds", [0, 0.05, 0.3])
async def test_a_cancelled_deploy_leaves_nothing(make: Make, name: str, seconds: float) -> None:
    loop = asyncio.get_running_loop()

    async def bring_up() -> None:
        def progress(doing: str) -> None:
            if doing == "starting the nodes":
                loop.call_later(seconds, task.cancel)

        async with make().deploy(order(name), progress):
            await asyncio.Event().wait()

    task = asyncio.create_task(bring_up())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert name not in await labs(make)
    assert (await make().remove(name)).items == ()


async def test_lab_time_is_the_nodes_time(make: Make, name: str) -> None:
    fast = Order(name, "first", SMALL, TimeConfig(3600.0, 1_800_000_000.0))
    async with make().deploy(fast, quiet) as lab:
        before = lab.clock.time()
        at = (await lab.nodes["mx1"].request(Ping())).at
        assert before - 3600 <= at <= lab.clock.time() + 3600


async def test_a_name_that_cannot_be(make: Make) -> None:
    with pytest.raises(UsageError):
        async with make().deploy(order("Not/A name"), quiet):
            pass


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_what_a_node_that_is_down_has_is_readable(make: Make, name: str, end: str) -> None:
    topology = Topology(mx=(Exchange("mx1", 10), Exchange("mx2", 20)))
    bob = f"bob@{topology.domain}"
    async with make().deploy(order(name, topology), quiet) as lab:
        mx1, mx2, client = (lab.nodes[host] for host in ("mx1", "mx2", "client"))
        submit = Submit("alice@client.test", [bob], body="héllo")
        (first,) = await client.request(submit)
        await until(mx1, MailboxDelivered)
        await mx1.kill()
        (second,) = await client.request(submit)
        await until(mx2, Deferred)
        alive = await mx2.request(QueueList())
        await getattr(mx2, end)()
        for _ in range(2):  # what is read stays as it was
            async with (
                source_of(mx1, lab.clock, "mailboxes") as boxes,
                source_of(mx2, lab.clock, "spool") as queue,
            ):
                assert boxes.is_down
                (stored,) = await boxes.request(MailboxList(bob))
                assert stored.message == first.message
                assert "héllo".encode() in await boxes.request(MailboxRead(bob, stored.name))
                assert queue.ended is not None
                assert queue.ended <= lab.clock.time()
                found = await queue.request(QueueList())
                assert found == alive
                assert found[0].message == second.message
                with pytest.raises(Refused):
                    await queue.request(QueueFlush())
        await mx2.start()
        async with source_of(mx2, lab.clock, "spool") as queue:
            assert not queue.is_down
            assert [entry.message for entry in await queue.request(QueueList())] == [second.message]


async def test_what_a_stopped_node_cannot_do_is_told_in_one_sentence(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        await refuses_when_it_does_not_run(lab.nodes["mx1"])


async def test_what_is_so_already_stays_so(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        await keeps_what_is_so_already(lab.nodes["mx1"])


async def test_ports_are_the_same_whether_a_node_runs_or_not(make: Make, name: str) -> None:
    async with make().deploy(Order(name, "first", SMALL, publish=True), quiet) as lab:
        for host in ("dns", "mx1"):
            node = lab.nodes[host]
            assert isinstance(node, CanPublish)
            before = await node.published()
            assert before
            await node.kill()
            assert await node.published() == before
            await node.start()
            assert await node.published() == before


async def test_settings_change_while_a_node_runs_and_outlive_it(make: Make, name: str) -> None:
    async with make().deploy(order(name), quiet) as lab:
        mx1 = lab.nodes["mx1"]
        await mx1.request(ConfigChange({"limits.message_size": 1000}))
        changed = (await until(mx1, ConfigChanged)).body
        assert changed == ConfigChanged("limits.message_size", "10485760", "1000")
        with pytest.raises(Refused, match="hops"):
            await mx1.request(ConfigChange({"limits.hops": 0, "limits.message_size": 5}))
        await mx1.kill()
        await mx1.start()
        sizes = [s for s in await mx1.request(ConfigList()) if s.key == "limits.message_size"]
        assert [(size.value, size.default) for size in sizes] == [(1000, 10 * 1024 * 1024)]
        big = Submit(sender="a@client.test", recipients=["b@example.test"], size=5000)
        await lab.nodes["client"].request(big)
        outcome = (await until(lab.nodes["client"], Outcome)).body
        assert isinstance(outcome, Outcome)
        assert (outcome.outcome, "1000" in outcome.reply) == ("failed", True)


async def test_short_names_are_found_inside(make: Make, name: str) -> None:
    require("dig")
    async with make().deploy(order(name), quiet) as lab:
        if lab.backend == "docker":
            require("docker")
        else:
            require_namespace()
        for host in ("client", "mx1"):
            for asked in ("client", "mx1"):
                said = await inside(lab.nodes[host], "dig", "+search", "+short", asked)
                assert said.split() == [lab.nodes[asked].config.address], (host, asked)
            said = await inside(lab.nodes[host], "dig", "+short", "example.test", "MX")
            assert said.split() == ["10", "mx1.example.test."]


async def inside(node: Node, *words: str) -> str:
    """What a command says that is run in the node; it must succeed."""
    assert isinstance(node, CanExec)
    process = await asyncio.create_subprocess_exec(
        *node.exec_command(words, interactive=False),
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode == 0, output
    return output.decode()
