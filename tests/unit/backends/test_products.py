"""Images of other people's servers: built once, when wanted; each failure names the product."""

import io
import tarfile
from pathlib import Path

import pytest

from mxlab.backends.docker import image as images
from mxlab.backends.docker import products
from mxlab.backends.docker.image import BuildTarget, load_image, prune_images
from mxlab.backends.docker.products import (
    DEBIAN_BASE,
    DOVECOT,
    MAIL_SERVERS,
    NODE_BASE,
    PRODUCTS,
    ensure_product,
    names_in_use,
    product_base_tag,
    product_tag,
)
from mxlab.backends.docker.shape import RIGHTS
from mxlab.errors import NoImage
from mxlab.model.software import SOFTWARE
from tests.support.image_store import FakeStore, quiet


@pytest.fixture(autouse=True)
def _nothing_may_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(images.MAY_INSTALL, raising=False)  # `make` sets it


@pytest.fixture
def _fetching_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fetched(target: BuildTarget, folder: Path, requirements: Path) -> None:
        assert (target.python, target.machine) == ("3.11", "x86_64")

    monkeypatch.setattr(images, "fetch_packages", fetched)


async def test_a_product_is_built_once_on_what_is_there() -> None:
    store = FakeStore(product_base_tag(DOVECOT))
    name = await ensure_product(store, quiet, DOVECOT)
    assert name == product_tag(DOVECOT, "debian")
    assert name == await ensure_product(store, quiet, DOVECOT)
    ((base, context),) = store.built
    assert base == product_base_tag(DOVECOT)
    with tarfile.open(fileobj=io.BytesIO(context)) as files:
        assert {"Dockerfile", "dovecot.conf", "packages", "start"} <= set(files.getnames())


async def test_an_official_base_is_pulled_where_a_registry_answers() -> None:
    store = FakeStore()
    assert await ensure_product(store, quiet, DOVECOT) == product_tag(DOVECOT, "python")
    assert [base for base, _ in store.built] == [DEBIAN_BASE]


async def test_debians_packages_are_the_base_where_none_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[list[str]] = []

    async def machine(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        ran.append(command)
        return 0, []

    monkeypatch.setattr(images, "_run", machine)
    store = FakeStore(reachable=False)
    assert await ensure_product(store, quiet, DOVECOT) == product_tag(DOVECOT, "debian")
    assert ran[0][-1] == "dovecot-imapd,dovecot-pop3d,dovecot-auth-lua"


async def test_an_image_that_cannot_be_built_is_named_with_the_reasons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def absent(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        return 127, ["base-image.sh: 14: exec: mmdebstrap: not found"]

    monkeypatch.setattr(images, "_run", absent)
    with pytest.raises(
        NoImage, match=r"(?s)the image of dovecot.*cannot be pulled.*mmdebstrap is not installed"
    ) as error:
        await ensure_product(FakeStore(reachable=False), quiet, DOVECOT)
    assert "mxlab image load dovecot.tar" in error.value.hint
    assert error.value.exit_code == 3


async def test_a_build_that_fails_names_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(self: FakeStore, context: bytes, base: str, names: list[str]) -> None:
        raise NoImage("the image could not be built")

    monkeypatch.setattr(FakeStore, "build", fails)
    with pytest.raises(NoImage, match="dovecot: the image could not be built"):
        await ensure_product(FakeStore(DEBIAN_BASE), quiet, DOVECOT)


def test_the_digest_follows_content_and_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    before = product_tag(DOVECOT, "python")
    assert before == product_tag(DOVECOT, "python") != product_tag(DOVECOT, "debian")
    files = {**products._files(DOVECOT), "dovecot.conf": b"# changed\n"}
    monkeypatch.setattr(products, "_files", lambda product: files)
    assert product_tag(DOVECOT, "python") != before


async def test_pruning_and_loading_know_the_products(tmp_path: Path) -> None:
    used, old = product_tag(DOVECOT, "debian"), "mxlab-dovecot:0123456789ab"
    store = FakeStore(used, product_base_tag(DOVECOT), old)
    assert await prune_images(store, names_in_use()) == ([old], [])
    (tmp_path / "dovecot.tar").write_text("")
    store.file_holds = [used]
    others = {name for names in names_in_use().values() for name in names}
    assert await load_image(store, quiet, tmp_path / "dovecot.tar", others) == used


@pytest.mark.usefixtures("_fetching_nothing")
async def test_a_nodes_product_comes_beside_all_that_a_node_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[list[str]] = []

    async def machine(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        ran.append(command)
        return 0, []

    monkeypatch.setattr(images, "_run", machine)
    store = FakeStore(reachable=False)
    postfix = PRODUCTS["postfix"]
    assert await ensure_product(store, quiet, postfix) == product_tag(postfix, "debian")
    assert postfix.latest in store.names
    assert ran[0][-1] == "+postfix,postfix-sqlite"  # beside those of the lab's own
    with tarfile.open(fileobj=io.BytesIO(store.built[0][1])) as context:
        packages = context.extractfile("product/packages")
        assert packages is not None
        assert packages.read() == b"postfix\npostfix-sqlite"
        assert "packages/mxlab_services/node.py" in context.getnames()


@pytest.mark.usefixtures("_fetching_nothing")
async def test_a_nodes_product_is_built_on_an_official_base_with_python() -> None:
    store = FakeStore()
    exim = PRODUCTS["exim"]
    assert await ensure_product(store, quiet, exim) == product_tag(exim, "python")
    assert [base for base, _ in store.built] == [NODE_BASE]


def test_what_the_services_are_changes_a_nodes_product_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = {name: product_tag(product, "debian") for name, product in PRODUCTS.items()}
    files = {**images.own_files(), "packages/mxlab_services/node.py": b"# changed\n"}
    monkeypatch.setattr(images, "own_files", lambda: files)
    changed = {n for n, product in PRODUCTS.items() if product_tag(product, "debian") != before[n]}
    assert changed == {"postfix", "exim", "opensmtpd"}


async def test_a_mail_server_that_cannot_be_built_says_that_there_is_one_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def absent(command: list[str], output: Path | None = None) -> tuple[int, list[str]]:
        return 127, ["base-image.sh: 14: exec: mmdebstrap: not found"]

    monkeypatch.setattr(images, "_run", absent)
    with pytest.raises(NoImage, match="the image of opensmtpd") as error:
        await ensure_product(FakeStore(reachable=False), quiet, PRODUCTS["opensmtpd"])
    assert "leave --with out" in error.value.hint
    assert error.value.exit_code == 3


def test_every_software_that_is_not_ours_has_a_product() -> None:
    assert {product.name for product in MAIL_SERVERS} == set(SOFTWARE) - {"mxlab"}
    assert set(RIGHTS) == set(SOFTWARE)
