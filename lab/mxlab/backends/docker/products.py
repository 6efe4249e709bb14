"""Images of other people's servers, one a product: from Debian's packages, built when first wanted.

Guarantee: as for the lab's own image (`image`): the tag is the digest of all that decides the
content, so an image that is present is never stale and never built twice. Whatever fails is a
NoImage that says which image, why, and what to do next.
"""

import hashlib
from dataclasses import dataclass

from mxlab.assets import assets
from mxlab.backends.base import Progress
from mxlab.backends.docker import image as images
from mxlab.backends.docker.image import KINDS, SUITE, Base, Kind, Store
from mxlab.errors import NoImage

DEBIAN_BASE = f"debian:{SUITE}-slim"  # of a registry; there, the packages are fetched in the build
NODE_BASE = f"python:3.13-slim-{SUITE}"  # of a registry, for a node: with Python, and that Debian


@dataclass(frozen=True, slots=True)
class Product:
    """A server of others: its Debian packages. `compose/<name>/` has its Dockerfile and whatever
    that copies. The Dockerfile is given its base as BASE, and a file `packages`: what it has to
    fetch where the base is an official one.

    With `node`, it is what a node runs: its image is the lab's own with the product in it, and of
    `compose/<name>/` a file `setup` is run, if there is one, when the image is built.
    """

    name: str
    packages: tuple[str, ...]
    node: bool = False

    @property
    def repository(self) -> str:
        return f"mxlab-{self.name}"

    @property
    def latest(self) -> str:
        """The newest build, by a name for Compose files."""
        return f"{self.repository}:latest"

    @property
    def official(self) -> str:
        """The base that a registry has."""
        return NODE_BASE if self.node else DEBIAN_BASE


DOVECOT = Product("dovecot", ("dovecot-imapd", "dovecot-pop3d", "dovecot-auth-lua"))
MAIL_SERVERS = (
    Product("postfix", ("postfix", "postfix-sqlite"), node=True),
    Product("exim", ("exim4-daemon-heavy",), node=True),  # the light one cannot take PROXY
    Product("opensmtpd", ("opensmtpd",), node=True),
)
PRODUCTS = {product.name: product for product in (DOVECOT, *MAIL_SERVERS)}


def product_tag(product: Product, kind: Kind) -> str:
    """The name of the product's image on that kind of base, from its content."""
    base = product.official if kind == "python" else product_base_tag(product)
    digest = hashlib.sha256(f"{base}\0".encode())
    for path, content in sorted(_files(product).items()):
        digest.update(f"{path} {len(content)}\0".encode())
        digest.update(content)
    return f"{product.repository}:{digest.hexdigest()[:12]}"


def product_base_tag(product: Product) -> str:
    """The name of the product's base made of Debian's packages."""
    words = f"{SUITE} {'+' if product.node else ''}{' '.join(product.packages)}"
    digest = hashlib.sha256(images.base_script().read_bytes() + words.encode())
    return f"{product.repository}-base:{digest.hexdigest()[:12]}"


def names_in_use() -> dict[str, set[str]]:
    """Of each repository that holds products' images or their bases, the names that this version
    of mxlab uses."""
    used: dict[str, set[str]] = {}
    for product in PRODUCTS.values():
        tags = {product_tag(product, kind) for kind in KINDS}
        used[product.repository] = tags | {product.latest}
        used[f"{product.repository}-base"] = {product_base_tag(product)}
    return used


async def present_product(store: Store, product: Product, base: Base = "auto") -> str | None:
    """The name of an image of the product that is present, if there is one."""
    for kind in KINDS if base == "auto" else (base,):
        if await store.present(product_tag(product, kind)):
            return product_tag(product, kind)
    return None


async def base_present(store: Store, product: Product) -> bool:
    """Whether a base of the product is there, so that nothing has to be pulled or made."""
    names = (product.official, product_base_tag(product))
    return any([await store.present(name) for name in names])


async def ensure_product(
    store: Store, progress: Progress, product: Product, base: Base = "auto"
) -> str:
    """The name of an image of the product that is present, built if need be. Raises NoImage."""
    found = await present_product(store, product, base)
    return found or await build_product(store, progress, product, base)


async def build_product(
    store: Store, progress: Progress, product: Product, base: Base = "auto"
) -> str:
    """Build the product's image, whether present or not; returns its name. Raises NoImage."""
    kind, base_name = await _find_base(store, progress, product, base)
    files = _files(product)
    try:
        if product.node:
            context = await images.node_context(store, progress, base_name, files)
        else:
            context = images.tar_of(files)
        progress(f"building the image of {product.name}")
        name = product_tag(product, kind)
        await store.build(context, base_name, [name, product.latest])
    except NoImage as error:
        raise NoImage(f"{product.name}: {error}", _hint(product)) from error
    return name


async def _find_base(
    store: Store, progress: Progress, product: Product, base: Base
) -> tuple[Kind, str]:
    """A base that is present now: as asked, or whatever is nearest at hand."""
    made = product_base_tag(product)
    if base != "python" and await store.present(made):
        return "debian", made
    source = images.BaseSource(
        product.official, made, product.packages,
        f"the image of {product.name}", f"a base of {product.name}", _hint(product),
        beside=product.node,
    )  # fmt: skip
    return await images.pull_or_make(store, progress, base, source)


def _hint(product: Product) -> str:
    instead = "; or leave --with out: mxlab has a mail server of its own" if product.node else ""
    return (
        f"where there is a network, `mxlab image save {product.name}.tar --product {product.name}`;"
        f" here, `mxlab image load {product.name}.tar`{instead}"
    )


def _files(product: Product) -> dict[str, bytes]:
    """Path in the build context -> content, but for the packages of others."""
    folder, packages = assets("compose") / product.name, "\n".join(product.packages).encode()
    given = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    if not product.node:
        return {"packages": packages} | given
    beside = {f"product/{name}": content for name, content in given.items()}
    return images.own_files() | {"product/packages": packages} | beside
