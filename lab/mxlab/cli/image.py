"""image build, save, load, prune: the containers' image, and those of other people's servers."""

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


def register(top: typer.Typer) -> None:
    top.add_typer(app, name="image")


BASES = ("auto", "python", "debian")
Base = Annotated[
    str,
    typer.Option(
        "--base", metavar="auto|python|debian", help="From python:slim, or from Debian's packages."
    ),
]
OfProduct = Annotated[
    str | None,
    typer.Option(
        "--product",
        metavar="NAME",
        help="Another image: dovecot, which --imap needs; seat, which a class needs.",
    ),
]


@app.command()
def build(base: Base = "auto", product: OfProduct = None, json: AsJson = False) -> None:
    """Build the image, whether it is there or not."""
    _do("build", base, None, product, json)


@app.command()
def save(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    base: Base = "auto",
    product: OfProduct = None,
    json: AsJson = False,
) -> None:
    """Write the image to a tar file, for a room without internet."""
    _do("save", base, file, product, json)


@app.command()
def load(file: Annotated[Path, typer.Argument(metavar="FILE")], json: AsJson = False) -> None:
    """Take the image from a file that `image save` wrote."""
    _do("load", "auto", file, None, json)


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
    from mxlab.backends.docker import image_store, products
    from mxlab.classroom.image import names_in_use as seats

    async with image_store() as store:
        return await images.prune_images(store, products.names_in_use() | seats())


def _do(verb: str, base: str, file: Path | None, product: str | None, json: bool) -> None:
    if base not in BASES:
        raise UnknownName("base", base, BASES)
    name = work(_image(verb, base, file, product))
    if json:
        say_json({"image": name, "file": str(file) if file else None})
    elif verb == "save":
        say(f"{name} is in {file}")
    else:
        say(name)


async def _image(verb: str, base: str, file: Path | None, product: str | None) -> str:
    from mxlab.backends.docker import image as images
    from mxlab.backends.docker import image_store, products
    from mxlab.classroom import image as seats

    kind: images.Base = "python" if base == "python" else "debian" if base == "debian" else "auto"
    if product not in (None, seats.PRODUCT, *products.PRODUCTS):
        raise UnknownName("product", str(product), [seats.PRODUCT, *products.PRODUCTS])
    with Waiting() as progress:
        async with image_store() as store:
            if verb == "load" and file is not None:
                every = products.names_in_use() | seats.names_in_use()
                others = {name for used in every.values() for name in used}
                return await images.load_image(store, progress, file, others)
            make = verb == "build"
            if product is None:
                find = images.build_image if make else images.ensure_image
                name = await find(store, progress, kind)
            elif product == seats.PRODUCT:
                find = seats.build_seat if make else seats.ensure_seat
                name = await find(store, progress, kind)
            else:
                wanted = products.PRODUCTS[product]
                of = products.build_product if make else products.ensure_product
                name = await of(store, progress, wanted, kind)
            return name if file is None else await images.write_image(store, progress, file, name)
