"""image build, save, load, prune: the containers' image."""

from pathlib import Path
from typing import Annotated

import typer

from mxlab.cli.options import AsJson
from mxlab.cli.output import Waiting, say, say_json
from mxlab.cli.running import work
from mxlab.errors import UnknownName

app = typer.Typer(
    help="The containers' image: build it, or carry it in a file.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

BASES = ("auto", "python", "debian")
Base = Annotated[
    str,
    typer.Option(
        "--base", metavar="auto|python|debian", help="From python:slim, or from Debian's packages."
    ),
]


@app.command()
def build(base: Base = "auto", json: AsJson = False) -> None:
    """Build the image, whether it is there or not."""
    _do("build", base, None, json)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(metavar="FILE")], base: Base = "auto", json: AsJson = False
) -> None:
    """Write the image to a tar file, for a room without internet."""
    _do("save", base, file, json)


@app.command()
def load(file: Annotated[Path, typer.Argument(metavar="FILE")], json: AsJson = False) -> None:
    """Take the image from a file that `image save` wrote."""
    _do("load", "auto", file, json)


@app.command()
def prune(json: AsJson = False) -> None:
    """Remove what other versions of mxlab built, but for what a container uses."""
    removed, used = work(_prune())
    if json:
        say_json({"removed": removed, "used": used})
        return
    for name in removed:
        say(f"removed {name}")
    for name in used:
        say(f"kept {name}: a container uses it")
    if not removed and not used:
        say("Nothing was there but what this version uses.")


async def _prune() -> tuple[list[str], list[str]]:
    from mxlab.backends.docker import image as images
    from mxlab.backends.docker import image_store

    async with image_store() as store:
        return await images.prune_images(store)


def _do(verb: str, base: str, file: Path | None, json: bool) -> None:
    if base not in BASES:
        raise UnknownName("base", base, BASES)
    name = work(_image(verb, base, file))
    if json:
        say_json({"image": name, "file": str(file) if file else None})
    elif verb == "save":
        say(f"{name} is in {file}")
    else:
        say(name)


async def _image(verb: str, base: str, file: Path | None) -> str:
    from mxlab.backends.docker import image as images
    from mxlab.backends.docker import image_store

    kind: images.Base = "python" if base == "python" else "debian" if base == "debian" else "auto"
    with Waiting() as progress:
        async with image_store() as store:
            if file is None:
                return await images.build_image(store, progress, kind)
            if verb == "save":
                return await images.save_image(store, progress, file, kind)
            return await images.load_image(store, progress, file)
