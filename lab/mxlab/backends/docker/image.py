"""The lab's image: what goes into it, its digest, and how it is built, saved and loaded.

Guarantee: the tag is the digest of all that decides the content (Dockerfile, the services' source,
the pinned packages, the kind of base), so an image that is present is never stale and never built
twice. Whatever fails is a NoImage that says what, where, and what to do next.

Long: what is built, and where its base comes from, is what the digest is of.
"""

import asyncio
import hashlib
import io
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, Protocol

from mxlab.assets import SERVICES, assets
from mxlab.backends.base import Progress
from mxlab.errors import NoImage

Base = Literal["auto", "python", "debian"]
Kind = Literal["python", "debian"]

PYTHON_BASE = "python:3.13-slim"
MAY_INSTALL = (
    "MXLAB_INSTALL"  # in the environment: root may install Debian's packages (as `make` does)
)
LATEST = "mxlab:latest"  # the newest build, by a name for the Compose file
KINDS: tuple[Kind, ...] = ("python", "debian")
SUITE = "bookworm"


@dataclass(frozen=True, slots=True)
class BuildTarget:
    """What packages must fit: Python's version (3.11) and the machine (x86_64, aarch64)."""

    python: str
    machine: str


class Store(Protocol):
    """The part of a container engine that deals in images. Methods raise NoEngine, NoImage."""

    async def present(self, name: str) -> bool: ...

    async def pull(self, name: str, progress: Progress) -> None: ...

    async def add_base(self, archive: Path, name: str) -> None:
        """Make an image of a root file system (a tar)."""
        ...

    async def target(self, name: str) -> BuildTarget:
        """Run the image's Python and ask."""
        ...

    async def build(self, context: bytes, base: str, names: list[str]) -> None: ...

    async def tag(self, name: str, alias: str) -> None: ...

    async def save(self, name: str, path: Path) -> None: ...

    async def load(self, path: Path) -> list[str]:
        """The names of the images that the file held."""
        ...

    async def tagged(self, repository: str) -> list[str]:
        """The names, with tags, of all images of that repository."""
        ...

    async def remove(self, name: str) -> bool:
        """Take the name away, and the image if it has no other; False where it is in use."""
        ...


def image_tag(kind: Kind) -> str:
    """The name of the image on that kind of base, from its content."""
    digest = hashlib.sha256()
    base = PYTHON_BASE if kind == "python" else base_tag()
    digest.update(f"{kind} {base}\0".encode())
    for path, content in sorted(own_files().items()):
        digest.update(f"{path} {len(content)}\0".encode())
        digest.update(content)
    return f"mxlab:{digest.hexdigest()[:12]}"


def base_tag() -> str:
    """The name of the base made of Debian's packages: the digest of the script that makes it."""
    digest = hashlib.sha256(base_script().read_bytes() + SUITE.encode())
    return f"mxlab-base:{digest.hexdigest()[:12]}"


def base_script() -> Path:
    return assets("compose") / "base-image.sh"


def own_files() -> dict[str, bytes]:
    """Path in the context -> content, but for the packages of others."""
    compose = assets("compose")
    files = {name: (compose / name).read_bytes() for name in ("Dockerfile", "requirements.txt")}
    files["product/packages"] = b""  # see `products`
    for path in sorted(SERVICES.rglob("*.py")):
        files[f"packages/{SERVICES.name}/{path.relative_to(SERVICES)}"] = path.read_bytes()
    return files


async def ensure_image(store: Store, progress: Progress, base: Base = "auto") -> str:
    """The name of an image that is present, built if need be. Raises NoImage."""
    for kind in KINDS if base == "auto" else (base,):
        if await store.present(image_tag(kind)):
            return image_tag(kind)
    return await build_image(store, progress, base)


async def build_image(store: Store, progress: Progress, base: Base = "auto") -> str:
    """Build the image, whether present or not; returns its name. Raises NoImage."""
    kind, base_name = await _find_base(store, progress, base)
    context = await node_context(store, progress, base_name, own_files())
    progress("building the image")
    name = image_tag(kind)
    await store.build(context, base_name, [name, LATEST])
    return name


async def node_context(
    store: Store, progress: Progress, base: str, files: Mapping[str, bytes]
) -> bytes:
    """What an image that runs our services is built from: these files, and the packages of others
    for the base's Python. Raises NoImage."""
    target = await store.target(base)
    with tempfile.TemporaryDirectory(prefix="mxlab-image-") as folder:
        progress(f"fetching the image's packages for Python {target.python}")
        await fetch_packages(target, Path(folder), assets("compose") / "requirements.txt")
        return _context(Path(folder), files)


async def write_image(store: Store, progress: Progress, path: Path, name: str) -> str:
    """Write an image that is present to a tar file; returns its name."""
    progress(f"writing {path}")
    with _file_errors(path, "written"):
        await store.save(name, path)
    return name


async def load_image(
    store: Store, progress: Progress, path: Path, others: Iterable[str] = ()
) -> str:
    """Take the image, or one of the `others`, from a tar file that `write_image` wrote; returns its
    name."""
    progress(f"reading {path}")
    with _file_errors(path, "read"):
        names = await store.load(path)
    own = [image_tag(kind) for kind in KINDS]
    for name in names:
        if name in own or name in others:
            await store.tag(name, f"{name.partition(':')[0]}:latest")
            return name
    raise NoImage(
        f"{path} holds {', '.join(names) or 'no image'}; this mxlab needs {' or '.join(own)}",
        "save the image again with the version of mxlab that runs here",
    )


async def prune_images(
    store: Store, others: Mapping[str, set[str]] | None = None
) -> tuple[list[str], list[str]]:
    """Remove the images and bases that other versions of mxlab made, in `others` (repository ->
    names in use), too; returns which, and which could not be removed since containers use them."""
    own = {LATEST, *(image_tag(kind) for kind in KINDS)}
    current = {"mxlab": own, "mxlab-base": {base_tag()}, **(others or {})}
    old = {name for kind, keep in current.items() for name in set(await store.tagged(kind)) - keep}
    removed: list[str] = []
    used: list[str] = []
    for name in sorted(old):
        (removed if await store.remove(name) else used).append(name)
    return removed, used


@contextmanager
def _file_errors(path: Path, done: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise NoImage(f"{path} cannot be {done}: {error.strerror or error}") from error


# --- the base ------------------------------------------------------------------------------------


async def _find_base(store: Store, progress: Progress, base: Base) -> tuple[Kind, str]:
    """A base that is present now: as asked, or whatever is nearest at hand."""
    if base == "auto":
        for kind, name in (("python", PYTHON_BASE), ("debian", base_tag())):
            if await store.present(name):
                return ("python" if kind == "python" else "debian"), name
    source = BaseSource(
        PYTHON_BASE, base_tag(), (), "the image", "a base image",
        "where there is a network, `mxlab image build && mxlab image save lab.tar`; "
        "here, `mxlab image load lab.tar`; or use `--backend process`",
    )  # fmt: skip
    return await pull_or_make(store, progress, base, source)


@dataclass(frozen=True, slots=True)
class BaseSource:
    """Where an image's base comes from: a registry has it as `official`, or it is `made` here of
    `packages` (see `make_base`). `image` and `itself` name them in words; `hint`: what else to do.
    `beside`: the packages are not all, but come beside those of the lab's own image.
    """

    official: str
    made: str
    packages: tuple[str, ...]
    image: str
    itself: str
    hint: str
    beside: bool = False


async def pull_or_make(
    store: Store, progress: Progress, base: Base, source: BaseSource
) -> tuple[Kind, str]:
    """The base as asked, pulled or made if it is not present. Raises NoImage, with every reason."""
    problems = []
    if base in ("auto", "python"):
        try:
            if not await store.present(source.official):
                progress(f"pulling {source.official}")
                await store.pull(source.official, progress)
            return "python", source.official
        except NoImage as error:
            problems.append(str(error))
    if base in ("auto", "debian"):
        try:
            if not await store.present(source.made):
                progress(f"making {source.itself} from Debian's packages (half a minute)")
                await make_base(store, progress, source.made, source.packages, beside=source.beside)
            return "debian", source.made
        except NoImage as error:
            problems.append(str(error))
    text = f"there is no base for {source.image}:\n  " + "\n  ".join(problems)
    raise NoImage(text, source.hint)


async def make_base(
    store: Store,
    progress: Progress,
    name: str,
    packages: tuple[str, ...] = (),
    *,
    beside: bool = False,
) -> None:
    """Make a base of these packages of Debian's, or of those that the lab's own image needs, or
    (`beside`) of both.

    Raises NoImage.
    """
    if shutil.which("mmdebstrap") is None and os.environ.get(MAY_INSTALL):
        await _install_mmdebstrap(progress)
    with tempfile.TemporaryDirectory(prefix="mxlab-base-") as folder:
        archive = Path(folder) / "base.tar"
        listed = ("+" if beside else "") + ",".join(packages)
        wanted = ("", listed) if packages else ()  # no mirror but Debian's own
        code, log = await _run(["sh", str(base_script()), SUITE, *wanted], archive)
        if code != 0:
            raise NoImage(_base_problem(code, log))
        await store.add_base(archive, name)


async def _install_mmdebstrap(progress: Progress) -> None:
    """With apt, as root: as `make` does with python3-venv. Raises NoImage."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return  # the script says what is missing
    progress("installing mmdebstrap, which makes a base where no registry answers")
    for words in (["update"], ["install", "-y", "--no-install-recommends", "mmdebstrap"]):
        code, log = await _run(["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq", *words])
        if code != 0:
            raise NoImage("\n    ".join(["mmdebstrap cannot be installed:", *log[-5:]]))


def _base_problem(code: int, log: list[str]) -> str:
    text = "\n".join(log)
    if code == 127 and "mmdebstrap" in text:
        return "mmdebstrap is not installed (on Debian: apt-get install mmdebstrap)"
    if "Could not resolve" in text or "Could not connect" in text or "Cannot initiate" in text:
        reason = "Debian's mirror cannot be reached"
    elif "unshare" in text or "root" in text.lower():
        reason = "mmdebstrap needs root or user namespaces"
    else:
        reason = f"mmdebstrap failed (exit code {code})"
    return "\n    ".join([f"{reason}; its last lines:", *log[-5:]])


# --- the context ---------------------------------------------------------------------------------


async def fetch_packages(target: BuildTarget, folder: Path, requirements: Path) -> None:
    """Put the pinned packages for the image's Python, checked by hash, into `folder`. Raises
    NoImage."""
    if find_spec("pip") is None:  # an environment made by uv has none
        raise NoImage(
            f"there is no pip for {sys.executable} to fetch the image's packages with",
            "install it (`uv pip install pip`); or `mxlab image load` a saved image",
        )
    platforms = [f"manylinux_2_28_{target.machine}", f"manylinux_2_17_{target.machine}"]
    platforms.append(f"manylinux2014_{target.machine}")
    code, log = await _run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--no-compile"),
            *("--target", str(folder), "--no-deps", "--require-hashes", "--only-binary=:all:"),
            *("--implementation", "cp", "--python-version", target.python),
            *(word for platform in platforms for word in ("--platform", platform)),
            *("--requirement", str(requirements)),
        ]
    )
    if code != 0:
        raise NoImage(
            "\n  ".join(["pip could not fetch the image's packages; its last lines:", *log[-5:]]),
            "check the network and pip's settings (`pip config list`); "
            "or `mxlab image load` a saved image",
        )


def _context(packages: Path, own: Mapping[str, bytes]) -> bytes:
    """The build context as a tar."""
    return tar_of(dict(own) | packages_in(packages))


def packages_in(folder: Path) -> dict[str, bytes]:
    """Path in the context -> content, of the packages that were fetched into the folder."""
    return {
        f"packages/{place}": path.read_bytes()
        for place, path in files_below(folder)
        if place.parts[0] != "bin"
    }


def files_below(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Each file, by its place in the folder and whole, in order, but for what Python compiled."""
    for path in sorted(folder.rglob("*")):
        place = path.relative_to(folder)
        if path.is_file() and "__pycache__" not in place.parts:
            yield place, path


def tar_of(files: Mapping[str, bytes]) -> bytes:
    """Files by name as a tar: the same bytes for the same files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


async def _run(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
    """Run a program to its end, its standard output going to a file; returns code and log."""
    with output.open("wb") if output else tempfile.TemporaryFile() as sink:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=sink,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            _, errors = await process.communicate()
        except BaseException:
            if process.returncode is None:
                process.terminate()
                await process.wait()
            raise
    return process.returncode or 0, errors.decode("utf-8", "replace").strip().splitlines()
