"""What every test may rely on: the engine probe behind the `docker` marker."""

import os

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
