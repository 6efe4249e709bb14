"""Finding the engine: where it is, and why it does not answer, in words that help."""

import json
import os
import socket
from pathlib import Path

import pytest

from mxlab.backends.docker import DockerBackend
from mxlab.backends.docker.engine import find_endpoint
from mxlab.errors import NoEngine


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("HOME", str(tmp_path))


async def test_no_engine_at_the_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/absent.sock")
    with pytest.raises(NoEngine, match=r"no Docker engine runs at unix:///.*absent\.sock") as error:
        await DockerBackend().find()
    assert "start Docker" in error.value.hint


async def test_nobody_listens_any_more(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
    with pytest.raises(NoEngine, match="no Docker engine runs at"):
        await DockerBackend().find()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may use every socket")
async def test_no_permission_on_the_socket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "closed.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()
        path.chmod(0)
        monkeypatch.setenv("DOCKER_HOST", f"unix://{path}")
        with pytest.raises(NoEngine, match="permission denied") as error:
            await DockerBackend().find()
    assert "group `docker`" in error.value.hint


async def test_permission_denied_is_told_from_absence(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(url: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mxlab.backends.docker.engine._knock", refuse)
    with pytest.raises(NoEngine, match=r"may not use the Docker engine at .*permission denied"):
        await DockerBackend().find()


async def test_refused_over_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{port}")
        with pytest.raises(NoEngine, match=f"no Docker engine runs at .*127.0.0.1:{port}"):
            await DockerBackend().find()


def test_docker_host_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://10.1.2.3:2375")
    endpoint = find_endpoint()
    assert endpoint.url.endswith("10.1.2.3:2375")
    assert endpoint.arguments == ("--host", "tcp://10.1.2.3:2375")


def test_current_context_is_honoured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write_context(tmp_path / "docker", "far", "unix:///run/far.sock", current=True)
    endpoint = find_endpoint()
    assert endpoint.url == "unix:///run/far.sock"
    assert endpoint.arguments == ("--context", "far")


def test_default_context_is_the_local_engine() -> None:
    endpoint = find_endpoint()
    assert endpoint.url.endswith("docker.sock")
    assert endpoint.arguments == ()


def test_context_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nowhere")
    with pytest.raises(NoEngine, match="nowhere"):
        find_endpoint()


def _write_context(config: Path, name: str, host: str, *, current: bool) -> None:
    import hashlib

    meta = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(
        json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints})
    )
    if current:
        (config / "config.json").write_text(json.dumps({"currentContext": name}))
