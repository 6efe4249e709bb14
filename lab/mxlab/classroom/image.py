"""The image of seats and of the class server: mxlab whole, on top of the lab's image.

Guarantee: as of the lab's image, the tag is the digest of all that decides the content, so one that
is present is never stale. Whatever fails is a NoImage that says what to do next.
"""

import hashlib
import tempfile
from pathlib import Path

import mxlab
from mxlab.assets import SERVICES, assets
from mxlab.backends.base import Progress
from mxlab.backends.docker.image import (
    KINDS,
    Base,
    Store,
    ensure_image,
    fetch_packages,
    files_below,
    image_tag,
    packages_in,
    tar_of,
)
from mxlab.errors import NoImage

PRODUCT, REPOSITORY = "seat", "mxlab-seat"
LATEST = f"{REPOSITORY}:latest"
_XTERM = "nicegui/elements/xterm/dist"  # where that package has the page's terminal
_XTERM_FILES = {f"{_XTERM}/index.js": "xterm/index.js", f"{_XTERM}/xterm.css": "xterm/xterm.css"}
_HINT = (
    "where there is a network, `mxlab image save seat.tar --product seat`; here, `mxlab image load"
    " seat.tar`"
)


def seat_tag(base: str) -> str:
    """The name of the image on that image of the lab."""
    digest = hashlib.sha256(f"{base}\0".encode())
    for path, content in sorted(seat_files().items()):
        digest.update(f"{path} {len(content)}\0".encode())
        digest.update(content)
    return f"{REPOSITORY}:{digest.hexdigest()[:12]}"


def seat_tags() -> set[str]:
    """The names that this version of mxlab uses."""
    return {seat_tag(image_tag(kind)) for kind in KINDS}


def names_in_use() -> dict[str, set[str]]:
    """As of the products' images."""
    return {REPOSITORY: seat_tags() | {LATEST}}


def seat_files() -> dict[str, bytes]:
    """Path in the build context -> content, but for the packages of others."""
    compose = assets("compose") / "seat"
    files = {path.name: path.read_bytes() for path in sorted(compose.iterdir())}
    for folder in (Path(mxlab.__file__).parent, SERVICES):
        for place, path in files_below(folder):
            if "_assets" not in place.parts:
                files[f"packages/{folder.name}/{place}"] = path.read_bytes()
    for place, path in files_below(assets("scenarios")):
        files[f"packages/mxlab/_assets/scenarios/{place}"] = path.read_bytes()
    return files


async def present_seat(store: Store) -> str | None:
    """The name of the image, if there is one."""
    for name in sorted(seat_tags()):
        if await store.present(name):
            return name
    return None


async def ensure_seat(store: Store, progress: Progress, base: Base = "auto") -> str:
    """The name of an image that is present, built if need be. Raises NoImage."""
    return await present_seat(store) or await build_seat(store, progress, base)


async def build_seat(store: Store, progress: Progress, base: Base = "auto") -> str:
    """Build the image, whether present or not; returns its name. Raises NoImage."""
    below = await ensure_image(store, progress, base)
    try:
        target = await store.target(below)
        with tempfile.TemporaryDirectory(prefix="mxlab-seat-") as folder:
            progress(f"fetching the seats' packages for Python {target.python}")
            packages, xterm = Path(folder) / "packages", Path(folder) / "xterm"
            compose = assets("compose") / "seat"
            await fetch_packages(target, packages, compose / "requirements.txt")
            await fetch_packages(target, xterm, compose / "xterm.txt")
            context = tar_of(seat_files() | packages_in(packages) | _terminal_of(xterm))
        progress("building the image of the seats")
        name = seat_tag(below)
        await store.build(context, below, [name, LATEST])
    except NoImage as error:
        raise NoImage(f"the seats' image: {error}", error.hint or _HINT) from error
    return name


def _terminal_of(folder: Path) -> dict[str, bytes]:
    """The page's terminal out of the package that ships it. Raises NoImage where it has none."""
    try:
        return {name: (folder / path).read_bytes() for path, name in _XTERM_FILES.items()}
    except OSError as error:
        raise NoImage(f"the package that ships xterm.js has none: {error.strerror}") from error
