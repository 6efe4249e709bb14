"""The table in docs/faults.md is what the code says."""

from pathlib import Path

from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend
from mxlab.faults.table import BEGIN, END, table

DOCS = Path(__file__).parents[3] / "docs" / "faults.md"


def test_the_table_of_faults_and_worlds_is_made_from_the_code() -> None:
    written = DOCS.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0].strip()
    assert written == table((DockerBackend(), ProcessBackend(), SimBackend())).strip()


def test_the_table_tells_the_worlds_apart() -> None:
    rows = {line.split("|")[1].strip(): line for line in table([ProcessBackend()]).splitlines()}
    assert "unsupported" in rows["drop"]
    assert "unsupported" in rows["disconnect"]
    assert "unsupported" not in rows["refuse"]
    assert "SIGSTOP" in rows["pause"]
