"""`mxlab doctor`: what it finds out about this machine."""

import resource

import pytest

from mxlab.doctor import machine as doctor


def limited(monkeypatch: pytest.MonkeyPatch, soft: int) -> doctor.Check:
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
