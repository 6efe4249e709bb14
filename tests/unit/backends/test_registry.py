"""The backends by name: each stands in one place, is loaded late, and gives way to the next."""

import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from mxlab.backends.base import Progress
from mxlab.backends.process import ProcessBackend
from mxlab.backends.registry import BACKENDS, REGISTRY, backend_named, first_here
from mxlab.errors import UnknownName, Unsupported
from mxlab.model.scenario import BackendName


def quiet(_: str) -> None:
    pass


@pytest.fixture
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Why no container can be had here."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    return "no Docker engine"


def test_a_scenario_may_say_all_of_them_and_nothing_else() -> None:
    assert get_args(BackendName) == BACKENDS


@pytest.mark.parametrize("name", BACKENDS)
def test_each_is_where_it_is_said_to_be(name: str) -> None:
    assert backend_named(name).name == name


def test_one_that_is_not_there_is_told_with_those_that_are() -> None:
    with pytest.raises(UnknownName, match="podman"):
        backend_named("podman")


def test_none_is_loaded_before_it_is_wanted() -> None:
    program = "import sys, mxlab.backends.registry; print(*sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", program], text=True)
    loaded = set(said.split())
    assert "mxlab.backends.registry" in loaded
    assert not loaded & {"docker", *(row.place.partition(":")[0] for row in REGISTRY.values())}


async def test_the_next_one_is_taken_where_the_first_cannot_be_had(no_engine: str) -> None:
    backend, reason = await first_here(("docker", "sim"), quiet)
    assert backend.name == "sim"
    assert no_engine in reason


async def test_the_first_is_taken_where_it_can_be_had() -> None:
    backend, reason = await first_here(("process", "sim"), quiet)
    assert (backend.name, reason) == ("process", "")


async def test_every_reason_is_told(no_engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def cannot(self: ProcessBackend, progress: Progress) -> None:
        raise Unsupported("no processes: planted")

    monkeypatch.setattr(ProcessBackend, "prepare", cannot)
    backend, reason = await first_here(("docker", "process", "sim"), quiet)
    assert backend.name == "sim"
    assert no_engine in reason
    assert reason.endswith("; no processes: planted")
