"""What several tests of the command begin with; a file may have its own of that name."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import STORY, Lab


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab(tmp_path)
    yield made
    made("down")


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-engine.sock")
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    monkeypatch.delenv("MXLAB_SCENARIOS", raising=False)
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


@pytest.fixture(params=["sim", "process"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)
