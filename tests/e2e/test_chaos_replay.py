"""What chaos finds in the simulation plays again from its file, in every world that can do it.

::

    chaos (sim, a planted fault) ──> chaos.yaml ──> sim, process, docker
                                                    FAIL with the fault, PASS without

The faults are planted in the simulated services to be found, and in the node processes through
Python's own `sitecustomize`; the programs themselves know nothing of it.
"""

from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.chaos.schedule import Break, ChaosSchedule, Mail, Mend, Pass
from mxlab.chaos.search import search
from mxlab.chaos.writing import write_finding
from mxlab.cli import app
from mxlab.model.mechanism import CutLink, Drop, Partition, Reject
from mxlab.model.topology import Topology
from mxlab.scenario.write import scenario_text
from tests.chaos_planted.faults import PLANTED

ROOT = Path(__file__).resolve().parents[2]
SEED = 3  # its findings do not hang on the simulation's milliseconds
REPLAYED = {
    "loses a header": "nothing-altered",
    "tries the worst exchange first": "mx-order",
    "bounces a null sender": "failures-notified",
    "delivers to a wrong mailbox": "nothing-lost",
}
PLANTING = """\
import sys
if "mxlab_services" in sys.orig_argv:
    sys.path.insert(0, {root!r})
    import pytest
    from tests.chaos_planted.faults import PLANTED
    PLANTED[{name!r}](pytest.MonkeyPatch())
"""


def found(name: str, folder: Path) -> Path:
    """The file that chaos writes where this fault is planted."""
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name](patch)
        tally = search(seed=SEED, runs=1000, shrinking=200)
    path = folder / "chaos.yaml"
    write_finding(tally, SEED, path)
    return path


def replay(path: Path, world: str, code: int) -> dict[str, str]:
    """Check -> verdict, from the command that the file names, in this world."""
    report = path.with_name(f"{world}.json")
    words = ["run", str(path), "--backend", world, "--report", str(report)]
    done = CliRunner(env={"MXLAB_STATE_DIR": str(path.parent / "state")}).invoke(app, words)
    assert done.exit_code == code, done.output
    findings = msgspec.json.decode(report.read_bytes())["findings"]
    return {finding["check"]: finding["verdict"] for finding in findings}


@pytest.mark.long
@pytest.mark.parametrize(("name", "check"), REPLAYED.items())
def test_in_processes_it_fails_as_found_and_passes_once_mended(
    name: str, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = found(name, tmp_path)
    assert set(replay(path, "sim", 0).values()) == {"pass"}
    assert set(replay(path, "process", 0).values()) == {"pass"}
    planting = tmp_path / "planting"
    planting.mkdir()
    (planting / "sitecustomize.py").write_text(PLANTING.format(root=str(ROOT), name=name))
    monkeypatch.setenv("PYTHONPATH", str(planting))
    assert replay(path, "process", 1)[check] == "fail"


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.parametrize("name", REPLAYED)
def test_in_containers_it_passes_once_mended(name: str, tmp_path: Path) -> None:
    assert set(replay(found(name, tmp_path), "docker", 0).values()) == {"pass"}


@pytest.mark.docker
def test_in_containers_a_schedule_with_links_plays_as_in_the_simulation(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    mail = Mail("alice@client.test", ("bob@example.test",))
    actions = (
        Break(Partition("client", peers=("mx1",)), 0),
        mail,
        Break(CutLink("mx2", after=300), 1),
        mail,
        Break(Reject("mx1", peers=("mx2",), how="prohibited"), 2),
        Pass(3.0),
        Mend(1),
        mail,
    )
    path.write_text(scenario_text(ChaosSchedule(Topology(), actions).scenario()))
    assert replay(path, "docker", 0) == replay(path, "sim", 0)


def test_a_fault_that_a_world_cannot_do_ends_before_anything_starts(tmp_path: Path) -> None:
    path = tmp_path / "chaos.yaml"
    actions = (Break(Drop("mx1"), 1), Mail("alice@client.test", ("bob@example.test",)))
    path.write_text(scenario_text(ChaosSchedule(Topology(), actions).scenario()))
    state = tmp_path / "state"
    words = ["run", str(path), "--backend", "process"]
    done = CliRunner(env={"MXLAB_STATE_DIR": str(state)}).invoke(app, words)
    assert done.exit_code == 3, done.output
    assert "drop" in done.output
    assert not list(state.rglob("*.pid"))
