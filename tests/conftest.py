"""What every test may rely on: the engine probe behind the `docker` marker."""

import os
import ssl
from pathlib import Path

import pytest


def _engine_problem() -> str:
    """Why Docker tests cannot run here, or an empty string."""
    import asyncio

    from mxlab.backends.docker import DockerBackend
    from mxlab.errors import LabError

    try:
        asyncio.run(DockerBackend().find())
    except LabError as error:
        return str(error)
    return ""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip Docker tests where no engine answers, unless MXLAB_REQUIRE_DOCKER forbids that."""
    wanted = [item for item in items if item.get_closest_marker("docker")]
    if not wanted or config.option.collectonly or os.environ.get("MXLAB_REQUIRE_DOCKER"):
        return
    problem = _engine_problem()
    if problem:
        for item in wanted:
            item.add_marker(pytest.mark.skip(reason=f"no Docker engine: {problem}"))


@pytest.fixture
def lab_tls(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A server's and a client's TLS contexts, certified by a lab's own CA for mx1.example.test."""
    from mxlab.tls import Authority

    issued = Authority("test").issue(["mx1.example.test", "b.test"], "10.0.0.2")
    chain = tmp_path / "chain.pem"
    chain.write_text(issued.certificate + issued.key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain)
    return server, ssl.create_default_context(cadata=issued.ca)
