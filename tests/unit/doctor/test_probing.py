"""`mxlab doctor --faults`: each fault is tried, and one that does nothing is found out."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.backends.sim.node import SimNode
from mxlab.backends.sim.shaping import Shaping
from mxlab.cli import app
from mxlab.doctor.faults import Probe, probe_faults
from mxlab.faults import CATALOGUE
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.smtp.server.listener import Edge


def probed(seconds: float = 30.0) -> dict[str, Probe]:
    found = simulate(lambda: probe_faults(SimBackend(), lambda _: None, seconds))
    assert [probe.fault for probe in found] == list(CATALOGUE)
    assert simulate(SimBackend().find) == []
    return {probe.fault: probe for probe in found}


def test_every_fault_works_in_the_simulation() -> None:
    assert {probe.result for probe in probed().values()} == {"works"}


def test_a_fault_that_does_nothing_has_failed_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(self: SimNode) -> None:
        pass

    monkeypatch.setattr(SimNode, "pause", nothing)
    found = probed()
    assert found["pause"].result == "failed"
    assert found["pause"].found == "pause mx1 took no effect"
    assert Counter(probe.result for probe in found.values()) == {
        "works": len(CATALOGUE) - 1,
        "failed": 1,
    }


def test_a_fault_that_cannot_be_undone_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(self: SimNode) -> None:
        pass

    monkeypatch.setattr(SimNode, "resume", nothing)
    assert "could not be undone" in probed()["pause"].found


def test_faults_that_are_listed_and_strike_nothing_have_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(NodeInjector, "strikes", lambda *_: False)
    monkeypatch.setattr(Edge, "refuse", lambda _: None)
    found = probed()
    wrong = {name for name, probe in found.items() if probe.result == "failed"}
    inside = {name for name, kind in CATALOGUE.items() if kind.ends_with_life}
    assert wrong == inside - {"greylist"}  # which keeps a book of its own
    assert found["refuse"].found == "refuse mx1: it answers all the same"
    assert found["reply"].found == "it was not felt within 30 s"


@pytest.mark.parametrize("name", ["drop", "partition", "reject", "slow-link"])
def test_lines_that_are_as_good_as_before_have_failed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shaping, "_renew", lambda *_: None)
    assert probed()[name].result == "failed"


def test_a_fault_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(self: SimLab, host: str) -> None:
        await self.clock.sleep(1e9)

    monkeypatch.setattr(SimLab, "disconnect", forever)
    assert probed(5.0)["disconnect"].found == "it was not done within 5 s"


def test_the_command_tells_what_each_world_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = CliRunner(env={"MXLAB_STATE_DIR": str(tmp_path)})
    words = ["doctor", "--faults", "--backend", "process"]
    done = run.invoke(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    faults = msgspec.json.decode(done.stdout)["faults"]
    assert {f["fault"]: f["result"] for f in faults}["kill"] == "works"
    assert {f["fault"]: f["result"] for f in faults}["drop"] == "unsupported"
    assert not list((tmp_path / "mxlab").glob("doctor-*"))
    broken = [Probe("kill", "process", "failed", "nothing died")]

    async def found(*_: object) -> list[Probe]:
        return broken

    monkeypatch.setattr("mxlab.doctor.faults.probe_faults", found)
    done = run.invoke(app, words)
    assert done.exit_code == 3
    assert "NO    kill (process): nothing died" in done.stdout
