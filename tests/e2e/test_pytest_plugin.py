"""The pytest plugin: in sessions of its own, as people would use it."""

from pathlib import Path

import pytest

from tests.support.command import STORY
from tests.support.docs_code import blocks
from tests.support.plugin_session import INI, outcomes, session


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A project of somebody else's."""
    (tmp_path / "pytest.ini").write_text(INI)
    return tmp_path


def test_the_program_in_the_docs_is_tested_as_the_docs_say(place: Path) -> None:
    program, tests, login = blocks("testing.md", "python")
    (place / "notify.py").write_text(program)
    (place / "test_notify.py").write_text(tests)
    (place / "test_login.py").write_text(login)
    assert outcomes(session(place))["passed"] == 7


@pytest.mark.docker
def test_it_is_tested_against_containers_too(place: Path) -> None:
    program, tests, login = blocks("testing.md", "python")
    (place / "notify.py").write_text(program)
    (place / "test_notify.py").write_text(tests)
    (place / "test_login.py").write_text(login)
    assert outcomes(session(place, "--mxlab-backend", "docker"))["passed"] == 7


def test_a_test_that_fails_leaves_the_lab_clean_for_the_next(place: Path) -> None:
    (place / "test_order.py").write_text(
        """
from mxlab import delivered, dns, queue


def test_breaks(mxlab):
    mxlab.do(dns(remove=["example.test. MX"]))
    with mxlab.fault("kill", "mx1"), mxlab.fault("disk-full", "mx2"):
        mxlab.send(count=3)
        mxlab.eventually(queue("mx2", count=99), within="1s")


def test_wants_too_much(mxlab):
    mxlab.eventually(lambda: mxlab.mailbox(), within="500ms")


def test_is_well(mxlab):
    batch = mxlab.send(["a@example.test", mxlab.address()], subject="hello", body="text")
    mxlab.eventually(delivered(batch), within="30s")
    (message,) = mxlab.mailbox()
    assert (message["Subject"], message.get_content()) == ("hello", "text\\n")
    assert mxlab.queue("client") == mxlab.queue("mx2") == []


async def test_beside_a_loop_of_its_own(mxlab):
    mxlab.send()
    assert len(mxlab.eventually(mxlab.mailbox)) == 1


def test_addresses_differ(mxlab):
    assert mxlab.mailbox() == []
    mxlab.never(queue("mx2", count=1), during="200ms")
"""
    )
    said = session(place, "-o", "asyncio_mode=auto", code=1)
    assert (outcomes(said)["failed"], outcomes(said)["passed"]) == (2, 3)
    assert "in the end mx2 holds 0 messages" in said
    assert "not within 0.5 s: the last answer was []" in said
    assert "mxlab/api/testing.py" not in said, "the traceback ends in the test"


def test_each_worker_of_xdist_has_a_lab_of_its_own(place: Path) -> None:
    (place / "test_many.py").write_text(
        """
import pathlib
import pytest


@pytest.mark.parametrize("number", range(6))
def test_many(mxlab, mxlab_lab, worker_id, number):
    pathlib.Path(f"lab-{mxlab_lab.name}").touch()
    assert mxlab_lab.name.startswith(f"pytest-{worker_id}-")
    mxlab.send()
    assert len(mxlab.eventually(mxlab.mailbox)) == 1
"""
    )
    assert outcomes(session(place, "-n", "2"))["passed"] == 6
    assert len(list(place.glob("lab-pytest-gw*"))) == 2


def write(folder: Path, text: str) -> None:
    folder.mkdir(parents=True)
    (folder / "scenario.yaml").write_text(text)


class TestScenarios:
    def test_they_are_tests(self, place: Path) -> None:
        write(place / "own" / "good", STORY)
        write(place / "own" / "bad", STORY.replace("all-delivered", "queued-at-backup"))
        write(place / "own" / "other", STORY.replace("title", "backends: [docker]\ntitle"))
        write(place / "elsewhere", STORY)
        said = session(place, "-v", "--mxlab-scenarios", "own", "--mxlab-backend", "sim", code=1)
        assert "own/good/scenario.yaml::good PASSED" in said
        assert "own/bad/scenario.yaml::bad FAILED" in said
        assert "FAILED by queued-at-backup" in said
        assert "again: mxlab run" in said
        assert "SKIPPED" in said
        assert "this scenario is not for sim" in said
        assert "elsewhere" not in said
        assert "Traceback" not in said

    def test_they_run_in_processes_and_beside_other_tests(self, place: Path) -> None:
        write(place / "own" / "good", STORY)
        (place / "test_other.py").write_text("def test_other():\n    pass\n")
        said = session(place, "--mxlab-scenarios", "own", "test_other.py")
        assert outcomes(said)["passed"] == 2

    def test_they_are_shared_out_by_xdist(self, place: Path) -> None:
        for name in "abcd":
            write(place / "own" / name, STORY)
        options = ("--mxlab-scenarios", "own", "--mxlab-backend", "sim", "-n", "2")
        assert outcomes(session(place, *options))["passed"] == 4

    def test_a_broken_one_is_an_error_with_its_line(self, place: Path) -> None:
        write(place / "own" / "broken", STORY.replace("- send", "- sned"))
        said = session(place, "--mxlab-scenarios", "own", code=2)
        assert "scenario.yaml:4:5: `sned`: unknown key" in said
        assert "did you mean `send`?" in said
        assert "Traceback" not in said

    def test_a_folder_that_is_not_there_is_an_error(self, place: Path) -> None:
        said = session(place, "--mxlab-scenarios", "nowhere", code=4)
        assert "nowhere is no folder" in said


def test_a_simulated_lab_is_for_scenarios_only(place: Path) -> None:
    (place / "test_sim.py").write_text("def test_sim(mxlab):\n    pass\n")
    said = session(place, "--mxlab-backend", "sim", code=1)
    assert "no program can use it" in said


def test_a_misspelt_backend_gets_the_nearest_name(place: Path) -> None:
    said = session(place, "--mxlab-backend", "dokcer", code=4)
    assert "--mxlab-backend: " in said
    assert "docker" in said


def test_where_nobody_uses_it_nothing_is_loaded(place: Path) -> None:
    (place / "test_quiet.py").write_text(
        "import sys\n\n\ndef test_quiet():\n"
        "    loaded = {name for name in sys.modules if name.startswith('mxlab')}\n"
        "    assert loaded == {'mxlab', 'mxlab.api', 'mxlab.api.pytest_plugin'}\n"
    )
    (place / "scenario.yaml").write_text("not: a scenario\n")
    assert outcomes(session(place))["passed"] == 1


def test_each_test_has_the_lab_that_it_wants(place: Path) -> None:
    (place / "conftest.py").write_text(
        """
import pytest


@pytest.fixture(scope="session")
def mxlab_options():
    return {"domain": "session.test"}
"""
    )
    (place / "test_shapes.py").write_text(
        """
import pytest
from mxlab import Exchange, Topology

LABS = set()


def test_the_sessions_own(mxlab, mxlab_lab):
    assert mxlab.address().endswith("@session.test")
    assert mxlab.smtp_of("mx2")
    LABS.add(mxlab_lab.name)


@pytest.mark.mxlab(mx=1, schedule="postfix", tls=True, time_scale=60)
@pytest.mark.parametrize("time", [1, 2])
def test_one_of_its_own(mxlab, time):
    lab = mxlab._running.lab
    assert [exchange.host for exchange in lab.topology.mx] == ["mx1"]
    assert (lab.topology.schedule, lab.topology.tls) == ("postfix", True)
    assert lab.topology.domain == "session.test"
    assert lab.clock.real(60) == 1
    mxlab.send()
    mxlab.eventually(mxlab.mailbox, within="30m")
    LABS.add(lab.name)
    assert len(LABS) == 2, "equal wishes share a lab"


@pytest.mark.mxlab(topology=Topology(mx=(Exchange("backup", 5), Exchange("best", 1)), client="out"))
class TestWhole:
    def test_it(self, mxlab):
        assert mxlab.smtp_of("best") and mxlab.queue("out") == []


@pytest.mark.mxlab(topology={"mx": [{"host": "a", "preference": 1}]})
def test_keys_of_a_scenario_file(mxlab):
    assert mxlab.smtp_of("a")


@pytest.mark.mxlab(mxs=3)
def test_a_wrong_name(mxlab):
    pass


@pytest.mark.mxlab(schedule="never")
def test_a_wrong_value(mxlab):
    pass


@pytest.mark.mxlab(time_scale=0)
def test_no_time(mxlab):
    pass
"""
    )
    said = session(place, "--strict-markers", code=1)
    assert (outcomes(said)["errors"], outcomes(said)["passed"]) == (3, 5)
    assert "no option of a lab is called 'mxs'" in said
    assert "'never'" in said
    assert "time_scale must be above 0" in said


def test_a_test_that_fails_tells_what_became_of_its_mail_alone(place: Path) -> None:
    (place / "test_story.py").write_text(
        """
def test_before(mxlab):
    mxlab.send(subject="before")
    mxlab.eventually(mxlab.mailbox)


def test_fails(mxlab):
    with mxlab.fault("kill", "mx1"):
        mxlab.send()
        mxlab.eventually(lambda: mxlab.queue("mx2"))
        assert mxlab.mailbox(), "not there"
"""
    )
    said = session(place, code=1)
    assert outcomes(said) == {"failed": 1, "passed": 1}
    _, _, told = said.partition("mxlab: what became of the mail")
    assert "bob-t2@example.test" in told
    assert "bob-t1@example.test" not in told
    assert "mx2" in told


def test_an_async_test_awaits_and_its_loop_goes_on(place: Path) -> None:
    (place / "test_async.py").write_text(
        """
import asyncio
from mxlab import delivered


async def test_it(mxlab_async):
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.create_task(tick())
    async with mxlab_async.fault("refuse", "mx1"):
        batch = await mxlab_async.send()
        await mxlab_async.eventually(lambda: mxlab_async.desk.queue("mx2"))
    await mxlab_async.eventually(delivered(batch), within="2m")
    assert len(await mxlab_async.mailbox()) == 1
    ticking.cancel()
    assert ticks > 1
"""
    )
    assert outcomes(session(place, "-o", "asyncio_mode=auto"))["passed"] == 1


def test_after_a_fault_no_server_is_started_anew_and_all_is_forgotten(place: Path) -> None:
    (place / "test_lives.py").write_text(
        """
from mxlab import delivered, dns
from mxlab_services.events import NodeReady


def test_breaks(mxlab):
    mxlab.do(dns(remove=["example.test. MX"], add=["example.test. 3600 IN MX 10 nobody"]))
    with mxlab.fault("refuse", "mx1"), mxlab.fault("refuse", "mx2"):
        mxlab.send()


def test_is_as_new(mxlab):
    trace = mxlab._running.watch.trace
    assert sum(isinstance(event.body, NodeReady) for event in trace.by_node["client"]) == 1
    mxlab.eventually(delivered(mxlab.send()), within="10s")
"""
    )
    assert outcomes(session(place))["passed"] == 2
