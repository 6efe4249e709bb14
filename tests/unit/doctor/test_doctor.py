"""`mxlab doctor`: what it finds out about this machine."""

import resource

import pytest

from mxlab.backends.docker.products import PRODUCTS, product_base_tag, product_tag
from mxlab.doctor import machine as doctor
from tests.support.image_store import FakeStore


def limited(monkeypatch: pytest.MonkeyPatch, soft: int) -> doctor.MachineCheck:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, resource.RLIM_INFINITY))
    (check,) = [check for check in doctor.processes() if check.name == "open files"]
    return check


def test_a_limit_of_open_files_that_a_busy_node_can_reach_is_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    low = limited(monkeypatch, 48)
    assert low.result == "warning"
    assert "may open 48" in low.found
    assert low.hint.startswith("`ulimit -n 6")
    assert limited(monkeypatch, 1024).result == "ok"
    assert limited(monkeypatch, resource.RLIM_INFINITY).found == "a process may open any number"


async def test_each_product_is_told_with_its_image_and_its_capabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    postfix = PRODUCTS["postfix"]
    there = product_tag(postfix, "debian")
    monkeypatch.setattr("shutil.which", lambda name: None)
    store = FakeStore(there, product_base_tag(PRODUCTS["exim"]))
    first, second, third = await doctor.products(store)
    assert (first.name, first.result) == ("Postfix", "ok")
    assert first.found.startswith(f"{there} is there; it runs as root with CHOWN, ")
    assert (second.name, second.result) == ("Exim", "ok")
    assert second.found.endswith(
        "built when a lab first wants it; it runs as one user, who may nothing more"
    )
    assert (third.name, third.result) == ("OpenSMTPD", "warning")
    assert "SYS_CHROOT" in third.found
    assert "mxlab image load opensmtpd.tar" in third.hint
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/mmdebstrap")
    assert [check.result for check in await doctor.products(store)] == ["ok"] * 3
