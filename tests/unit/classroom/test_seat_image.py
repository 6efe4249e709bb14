"""The seats' image: what goes into it, when it is built, and what is said where it cannot be."""

import io
import tarfile
from pathlib import Path

import pytest

from mxlab.backends.docker import image as images
from mxlab.backends.docker.image import BuildTarget
from mxlab.classroom import image as seats
from mxlab.errors import NoImage
from tests.support.image_store import FakeStore, quiet

BELOW = images.image_tag("debian")


@pytest.fixture
def fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip, which puts a package and the terminal's files there."""

    async def fetched(target: BuildTarget, folder: Path, requirements: Path) -> None:
        dist = folder / "nicegui" / "elements" / "xterm" / "dist"
        dist.mkdir(parents=True)
        (dist / "index.js").write_text(requirements.name)
        (dist / "xterm.css").write_text("style")

    monkeypatch.setattr(seats, "fetch_packages", fetched)


@pytest.mark.usefixtures("fetching")
async def test_it_is_built_once_on_the_lab_s_image() -> None:
    store = FakeStore(BELOW)
    name = await seats.ensure_seat(store, quiet)
    assert name == seats.seat_tag(BELOW)
    assert await seats.ensure_seat(store, quiet) == name
    [(base, context)] = store.built
    assert base == BELOW
    with tarfile.open(fileobj=io.BytesIO(context)) as tar:
        names = set(tar.getnames())
        terminal = tar.extractfile("xterm/index.js")
        assert terminal is not None
        assert terminal.read() == b"xterm.txt"
    assert {"Dockerfile", "mxlab", "xterm/xterm.css"} <= names
    assert "packages/mxlab/_assets/scenarios/primary-outage/scenario.yaml" in names
    assert "packages/mxlab_services/node.py" in names
    assert not any("__pycache__" in one for one in names)


@pytest.mark.usefixtures("fetching")
async def test_what_cannot_be_fetched_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refused(target: BuildTarget, folder: Path, requirements: Path) -> None:
        raise NoImage("pip could not fetch")

    monkeypatch.setattr(seats, "fetch_packages", refused)
    with pytest.raises(NoImage, match="seats' image: pip could not fetch") as told:
        await seats.build_seat(FakeStore(BELOW), quiet)
    assert "image load" in told.value.hint


async def test_a_package_without_the_terminal_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def nothing(target: BuildTarget, folder: Path, requirements: Path) -> None:
        assert target.machine == "x86_64"

    monkeypatch.setattr(seats, "fetch_packages", nothing)
    with pytest.raises(NoImage, match=r"xterm\.js"):
        await seats.build_seat(FakeStore(BELOW), quiet)


def test_another_image_below_is_another_image() -> None:
    assert seats.seat_tag("mxlab:one") != seats.seat_tag("mxlab:two")


async def test_prune_keeps_the_seats_image_and_removes_old_ones() -> None:
    store = FakeStore(seats.seat_tag(BELOW), seats.LATEST, "mxlab-seat:old")
    removed, _ = await images.prune_images(store, seats.names_in_use())
    assert removed == ["mxlab-seat:old"]
