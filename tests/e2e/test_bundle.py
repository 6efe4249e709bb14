"""`mxlab run --bundle` and `mxlab check`: the same shape and the same verdict in every world."""

import os
import re
import secrets
import signal
import subprocess
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from mxlab.cli import app
from tests.support.bundles import json_of, put_together, taken_apart
from tests.support.command import MXLAB, SECONDS, STORY

HANGING = STORY.replace("within: 30s, delivered: one", "within: 10h, bounced: one")


@pytest.fixture
def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("MXLAB_BACKEND", raising=False)
    path = tmp_path / "story.yaml"
    path.write_text(STORY)
    return path


def mxlab(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, list(map(str, words)))
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    "world", ["sim", "process", pytest.param("docker", marks=pytest.mark.docker)]
)
def test_every_world_writes_the_same_shape_and_it_is_judged_again(
    world: str, story: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "run.zip"
    lab = f"bundle-{secrets.token_hex(3)}"
    ran = mxlab("run", story, "--backend", world, "--lab", lab, "--bundle", kept)
    digest = re.search(r"has SHA-256 ([0-9a-f]{64})", ran.stderr)
    assert digest
    story.unlink()
    told = mxlab("check", kept).stdout
    assert told.startswith(ran.stdout.rstrip())
    assert f"the file has SHA-256 {digest[1]}" in told
    parts = taken_apart(kept)
    assert sorted(parts) == [
        "mailboxes.json", "mailboxes/mx1/bob@example.test/1.eml", "manifest.json", "queues.json",
        "report.html", "report.json", "report.txt", "run.jsonl", "scenario/story.yaml",
        "topology.json", "versions.json",
    ]  # fmt: skip
    assert parts["scenario/story.yaml"].decode() == STORY
    engine = json_of(parts, "versions.json")["engine"]
    assert engine.startswith("Docker ") if world == "docker" else engine == ""


def test_what_was_changed_is_told_to_people_and_programs(story: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run.zip"
    mxlab("run", story, "--backend", "sim", "--bundle", kept)
    parts = taken_apart(kept)
    put_together(parts | {"queues.json": b"{}", "more": b"x"}, kept)
    told = mxlab("check", kept, code=4).stdout
    assert "INCONCLUSIVE" in told
    assert re.search(r"NO +queues\.json: it has 2 of the \d+ bytes", told)
    assert "expected SHA-256" in told
    assert re.search(r"NO +more: the manifest does not know it", told)
    as_json = msgspec.json.decode(mxlab("check", kept, "--json", code=4).stdout)
    assert (as_json["verdict"], as_json["exit_code"]) == ("unknown", 4)
    first, second = as_json["bundle"]["differences"]
    assert (first["part"], first["kind"]) == ("queues.json", "truncated")
    assert (second["part"], second["kind"]) == ("more", "added")
    del parts["run.jsonl"]
    put_together(parts, kept)
    as_json = msgspec.json.decode(mxlab("check", kept, "--json", code=4).stdout)
    assert [one["kind"] for one in as_json["bundle"]["differences"]] == ["missing"]


def test_other_reports_are_made_from_a_bundle(story: Path, tmp_path: Path) -> None:
    kept, first, second = (tmp_path / name for name in ("run.zip", "a.xml", "b.xml"))
    mxlab("run", story, "--backend", "sim", "--bundle", kept, "--junit", first)
    mxlab("check", kept, "--junit", second)
    assert first.read_bytes() == second.read_bytes()


def test_what_cannot_be_written_is_known_before_the_run(story: Path, tmp_path: Path) -> None:
    told = mxlab("run", story, story, "--bundle", tmp_path / "run.zip", code=2).stderr
    assert "--bundle keeps one run" in told
    told = mxlab("run", story, "--bundle", tmp_path, "--backend", "sim", code=2).stderr
    assert "is a folder" in told
    told = mxlab("run", story, "--bundle", tmp_path / "no" / "x", "--backend", "sim", code=2).stderr
    assert "is no folder" in told


def test_a_bundle_may_go_into_a_pipe(story: Path, tmp_path: Path) -> None:
    command = [*MXLAB, "run", str(story), "--backend", "sim", "--bundle", "/dev/stderr"]
    run = subprocess.run(command, capture_output=True, check=True, timeout=SECONDS)
    begin = run.stderr.index(b"PK\3\4")
    (tmp_path / "run.zip").write_bytes(run.stderr[begin:])
    assert "PASSED" in mxlab("check", tmp_path / "run.zip").stdout


def test_a_run_that_is_interrupted_leaves_the_file_of_before(story: Path, tmp_path: Path) -> None:
    kept = tmp_path / "run.zip"
    kept.write_bytes(b"of before")
    story.write_text(HANGING)
    command = [*MXLAB, "run", str(story), "--backend", "process", "--bundle", str(kept)]
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=dict(os.environ)
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "eventually" in line:
                process.send_signal(signal.SIGINT)
                break
        process.stderr.read()
        assert process.wait(SECONDS) == 130
    assert kept.read_bytes() == b"of before"
    assert [path.name for path in tmp_path.glob(".mxlab-*")] == []
    assert "is no recorded run" in mxlab("check", kept, code=2).stderr
