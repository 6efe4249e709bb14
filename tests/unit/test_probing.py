"""`mxlab doctor --faults`: each fault is tried, and one that does nothing is found out."""

from collections import Counter
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.backends.sim.backend import SimBackend, SimLab, SimNode, simulate
from mxlab.cli import app
from mxlab.faults import CATALOGUE
from mxlab.probing import Probe, probe_faults


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


def test_a_fault_that_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forever(self: SimLab, host: str) -> None:
        await self.clock.sleep(1e9)

    monkeypatch.setattr(SimLab, "disconnect", forever)
    assert probed(5.0)["disconnect"].found == "nothing came of it within 5 s"


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

    monkeypatch.setattr("mxlab.probing.probe_faults", found)
    done = run.invoke(app, words)
    assert done.exit_code == 3
    assert "NO    kill (process): nothing died" in done.stdout
