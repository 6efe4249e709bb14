"""The image: its digest follows its content, and each failure says what, where and what next."""

import io
import tarfile
from pathlib import Path

import pytest

from mxlab.backends.docker import image as images
from mxlab.backends.docker.image import (
    LATEST,
    PYTHON_BASE,
    BuildTarget,
    base_tag,
    build_image,
    ensure_image,
    image_tag,
    load_image,
    prune_images,
)
from mxlab.errors import NoImage
from tests.support.image_store import FakeStore, quiet


@pytest.fixture(autouse=True)
def _nothing_may_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(images.MAY_INSTALL, raising=False)  # `make` sets it


@pytest.fixture
def _no_fetching(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetch(target: BuildTarget, folder: Path, requirements: Path) -> None:
        (folder / "aiosmtpd").mkdir()
        (folder / "aiosmtpd" / "smtp.py").write_text("# a package\n")

    monkeypatch.setattr(images, "fetch_packages", fetch)


async def test_image_that_is_present_is_not_built() -> None:
    store = FakeStore(image_tag("debian"))
    assert await ensure_image(store, quiet) == image_tag("debian")
    assert store.built == []


@pytest.mark.usefixtures("_no_fetching")
async def test_auto_takes_a_base_that_is_present_before_it_pulls() -> None:
    store = FakeStore(base_tag())
    assert await ensure_image(store, quiet) == image_tag("debian")
    assert [base for base, _ in store.built] == [base_tag()]


@pytest.mark.usefixtures("_no_fetching")
async def test_auto_pulls_where_a_registry_answers() -> None:
    store = FakeStore()
    assert await ensure_image(store, quiet) == image_tag("python")
    assert [base for base, _ in store.built] == [PYTHON_BASE]
    assert LATEST in store.names


@pytest.mark.usefixtures("_no_fetching")
async def test_without_registry_and_mmdebstrap_both_reasons_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def absent(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        return 127, ["base-image.sh: 14: exec: mmdebstrap: not found"]

    monkeypatch.setattr(images, "_run", absent)
    with pytest.raises(
        NoImage, match=r"(?s)cannot be pulled.*mmdebstrap is not installed"
    ) as error:
        await ensure_image(FakeStore(reachable=False), quiet)
    assert "mxlab image load" in error.value.hint


@pytest.mark.usefixtures("_no_fetching")
@pytest.mark.parametrize(
    ("user", "allowed", "installed"),
    [(0, "1", True), (0, "", False), (1000, "1", False)],
    ids=["root and make", "root without make", "an ordinary user"],
)
async def test_root_may_have_mmdebstrap_installed_where_no_registry_answers(
    monkeypatch: pytest.MonkeyPatch, user: int, allowed: str, installed: bool
) -> None:
    tools = {"apt-get"}
    ran: list[str] = []

    async def machine(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        ran.append(" ".join(command))
        if command[-1] == "mmdebstrap":
            tools.add("mmdebstrap")
        if command[0] == "sh" and "mmdebstrap" not in tools:
            return 127, ["base-image.sh: 14: exec: mmdebstrap: not found"]
        return 0, []

    monkeypatch.setattr(images, "_run", machine)
    monkeypatch.setattr("shutil.which", lambda name: name if name in tools else None)
    monkeypatch.setattr("os.geteuid", lambda: user)
    monkeypatch.setenv(images.MAY_INSTALL, allowed)
    store = FakeStore(reachable=False)
    if installed:
        assert await ensure_image(store, quiet) == image_tag("debian")
    else:
        with pytest.raises(NoImage, match="mmdebstrap is not installed"):
            await ensure_image(store, quiet)
    assert any("apt-get" in line for line in ran) is installed


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("Err:1 http://deb.example Could not resolve 'deb.example'", "mirror cannot be reached"),
        ("E: unable to pick chroot mode: not root, no unshare", "needs root or user namespaces"),
        ("E: something else", "mmdebstrap failed"),
    ],
)
async def test_debian_base_that_fails_says_why(
    line: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def failing(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        return 1, [line]

    monkeypatch.setattr(images, "_run", failing)
    with pytest.raises(NoImage, match=reason) as error:
        await build_image(FakeStore(), quiet, "debian")
    assert line in str(error.value)


async def test_packages_that_cannot_be_fetched_show_pips_last_lines(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def failing(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        assert "--require-hashes" in command
        return 1, ["ERROR: no matching distribution"]

    monkeypatch.setattr(images, "_run", failing)
    with pytest.raises(NoImage, match="no matching distribution"):
        await build_image(FakeStore(PYTHON_BASE), quiet)


async def test_without_pip_the_image_is_not_built_and_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(images, "find_spec", lambda name: None)
    with pytest.raises(NoImage, match="there is no pip") as error:
        await build_image(FakeStore(PYTHON_BASE), quiet)
    assert "uv pip install pip" in error.value.hint


@pytest.mark.usefixtures("_no_fetching")
async def test_pruning_leaves_what_is_current_or_used() -> None:
    current = {LATEST, base_tag(), image_tag("debian"), "python:3.13-slim", "other:mxlab"}
    old = {"mxlab:0123456789ab", "mxlab:aaaaaaaaaaaa", "mxlab-base:0123456789ab"}
    store = FakeStore(*current, *old)
    store.used = {"mxlab:aaaaaaaaaaaa"}
    removed = ["mxlab-base:0123456789ab", "mxlab:0123456789ab"]
    assert await prune_images(store) == (removed, ["mxlab:aaaaaaaaaaaa"])
    assert store.names == current | store.used
    assert await prune_images(store) == ([], ["mxlab:aaaaaaaaaaaa"])


async def test_context_is_the_same_bytes_each_time_and_holds_the_services() -> None:
    first, second = FakeStore(PYTHON_BASE), FakeStore(PYTHON_BASE)
    await build_image(first, quiet)
    await build_image(second, quiet)
    assert first.built == second.built
    with tarfile.open(fileobj=io.BytesIO(first.built[0][1])) as context:
        names = context.getnames()
    assert {"Dockerfile", "requirements.txt", "packages/aiosmtpd/smtp.py"} <= set(names)
    assert "packages/mxlab_services/config.py" in names
    assert not any("__pycache__" in name for name in names)


def test_digest_follows_content_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image_tag("python")
    assert before == image_tag("python") != image_tag("debian")
    files = dict(images.own_files())
    files["Dockerfile"] += b"# changed\n"
    monkeypatch.setattr(images, "own_files", lambda: files)
    assert image_tag("python") != before


async def test_loading_takes_the_image_that_fits_and_names_one_that_does_not(
    tmp_path: Path,
) -> None:
    store = FakeStore()
    path = tmp_path / "lab.tar"
    name = image_tag("debian")
    assert await images.write_image(FakeStore(name), quiet, path, name) == path.read_text()
    store.file_holds = [image_tag("debian")]
    assert await load_image(store, quiet, path) == image_tag("debian")
    assert LATEST in store.names
    store.file_holds = ["mxlab:0123456789ab"]
    with pytest.raises(NoImage, match=r"mxlab:0123456789ab.*this mxlab needs"):
        await load_image(store, quiet, path)
    with pytest.raises(NoImage, match="cannot be read: No such file"):
        await load_image(store, quiet, tmp_path / "absent.tar")
