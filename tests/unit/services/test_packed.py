"""The image's start: a node runs on the modules of one file, as if each came from its own."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from mxlab_services import packed
from mxlab_services.packed import PackedModules

SECONDS = 60  # real seconds for anything here
NAMES = ["mxlab_services", "mxlab_services.roles.mta", "aiosmtpd.smtp", "asyncio", "email.utils"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the image has it: the pack, and the script beside it."""
    folder = tmp_path_factory.mktemp("packed")
    (folder / "mxlab_services").mkdir()
    shutil.copy(packed.__file__, folder / "mxlab_services" / "packed.py")
    command = [sys.executable, "-m", "mxlab_services.packing", str(folder / "modules.pack")]
    subprocess.run(command, check=True, timeout=SECONDS)
    return folder


@pytest.fixture
def modules(place: Path) -> Iterator[PackedModules]:
    found = PackedModules(str(place / "modules.pack"))
    yield found
    found.close()


def started(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The script without site-packages: ours can come from nowhere but the pack."""
    command = [sys.executable, "-S", "-P", str(place / "mxlab_services" / "packed.py"), *arguments]
    return subprocess.run(
        command, env={}, capture_output=True, text=True, timeout=SECONDS, check=False
    )


def test_a_node_runs_from_the_pack(place: Path) -> None:
    ended = started(place)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("no configuration; usage: python -m mxlab_services")


def test_arguments_arrive(place: Path) -> None:
    ended = started(place, "--config", "/nowhere/at-all")
    assert ended.returncode == 2
    assert "/nowhere/at-all: [Errno 2]" in ended.stderr


@pytest.mark.parametrize("name", NAMES)
def test_a_module_is_what_its_own_file_makes_it(modules: PackedModules, name: str) -> None:
    own, ours = find_spec(name), modules.find_spec(name)
    assert own is not None
    assert ours is not None
    for field in ("name", "origin", "submodule_search_locations", "parent", "has_location"):
        assert getattr(ours, field) == getattr(own, field), field
    assert modules.get_code(name).co_filename == own.origin


def test_others_are_left_to_python(modules: PackedModules) -> None:
    for name in ("mxlab", "sys", "msgspec._core", "mxlab_services.packed", "no.such.module"):
        assert modules.find_spec(name) is None, name


def test_without_the_pack_it_does_not_start(place: Path, tmp_path: Path) -> None:
    script = tmp_path / "mxlab_services" / "packed.py"
    script.parent.mkdir()
    shutil.copy(place / "mxlab_services" / "packed.py", script)
    ended = started(tmp_path)
    assert ended.returncode == 1
    assert "modules.pack" in ended.stderr
