"""Exercises written and proven at the command line."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from mxlab.cli import app


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MXLAB_SCENARIOS", str(tmp_path))
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path / "state"))
    return tmp_path


def mxlab(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, ["exercise", *(str(word) for word in words)])
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    return result


def spoil(own: Path, old: str, new: str) -> Path:
    """The draft `mine`, spoilt."""
    mxlab("new", "mine")
    file = own / "mine" / "exercise.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return file


def test_a_draft_lints_is_told_and_is_proven(own: Path) -> None:
    mxlab("new", "mine", "--title", "Where is it?")
    assert (own / "mine" / "README.md").read_text().startswith("# Where is it?\n")
    assert "nothing to be mended" in mxlab("lint", "mine").stderr
    shown = mxlab("show", "mine", "--seed", 3).stdout
    assert "mine: Where is it? (10 min)" in shown
    assert "## What happens" in shown
    assert mxlab("prove", "mine", "--seeds", 2).stdout == "proven    mine: 2 tasks in 2 seats\n"


def test_it_is_proven_in_a_lab_of_processes(own: Path) -> None:
    mxlab("new", "mine")
    words = ("prove", "mine", "--backend", "process", "--seed", 4, "--json")
    (row,) = json.loads(mxlab(*words).stdout)
    assert (row["verdict"], row["seeds"], row["refusals"]) == ("proven", [4], [])


def test_what_is_refused_is_told_as_a_linter_does(own: Path) -> None:
    file = spoil(own, '"mxlab flush {backup}"]\n    wrong', '"mxlab stop {primary}"]\n    wrong')
    refused = mxlab("prove", "mine", "--seeds", 2, code=1)
    assert refused.stdout.startswith("refused   mine: 2 tasks in 2 seats\n" + f"{file}:")
    assert "error: `solution`: the task is not done after its solution" in refused.stdout
    (row,) = json.loads(mxlab("prove", "mine", "--seeds", 2, "--json", code=1).stdout)
    assert row["verdict"] == "refused"
    (error,) = row["refusals"]
    assert file.read_text().splitlines()[error["line"] - 1].startswith("    solution:")


def test_what_can_be_seen_without_a_lab_is_linted(own: Path) -> None:
    file = spoil(own, '"mxlab queue"', '"mxlab quue"')
    said = mxlab("lint", "mine", code=2).stdout
    assert said.startswith(f"{file}:")
    assert "did you mean 'queue'?" in said
    assert "cannot be typed" in mxlab("prove", file, "--seeds", 1, code=1).stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["prove"], 2, "name exercises, or say --all"),
        (["prove", "mine", "--all"], 2, "name exercises, or say --all"),
        (["prove", "nine"], 2, "did you mean 'mine'?"),
        (["prove", "mine", "--backend", "proces"], 2, "did you mean 'process'?"),
        (["prove", "mine", "--seeds", "0"], 2, "--seeds"),
        (["show", "nine"], 2, "did you mean 'mine'?"),
        (["lint", "nine"], 2, "did you mean 'mine'?"),
        (["new", "mine"], 2, "is there already"),
        (["new", "My Lab"], 2, "cannot be an exercise's id"),
    ],
)
def test_bad_words_are_answered(words: list[str], code: int, said: str) -> None:
    mxlab("new", "mine")
    assert said in mxlab(*words, code=code).stderr


def test_a_file_that_is_wrong_and_one_for_another_world(own: Path) -> None:
    spoil(own, "minutes: 10", "minutes: ten")
    assert "exercise.yaml:" in mxlab("prove", "mine", "--seeds", 1, code=2).stderr
    (own / "mine" / "exercise.yaml").unlink()
    spoil(own, "minutes: 10", "minutes: 10\nbackends: [docker]")
    refused = mxlab("prove", "mine", "--seeds", 1, code=3)
    assert "use --backend docker" in refused.stderr


def test_the_schema_is_json() -> None:
    assert json.loads(mxlab("schema").stdout)["$schema"]
