"""`mxlab graph`: what it draws, where to, and what it refuses."""

import json
from pathlib import Path

import pytest

from tests.support.command import Lab


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path / "state")


def test_of_nothing_where_nothing_is_up_it_draws_what_up_starts(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MXLAB_LAB", raising=False)
    del lab.environment["MXLAB_LAB"]
    shown = lab.run("graph")
    assert "  |-- 10 --> mx1  10.53.25.3; delivers for example.test" in shown.stdout.splitlines()
    assert "no lab is up" in shown.stderr


@pytest.mark.parametrize(
    ("file", "begins"),
    [("lab.svg", "<svg "), ("lab.mmd", "flowchart LR\n"), ("lab.txt", "client: ")],
)
def test_a_files_name_says_what_it_is(lab: Lab, tmp_path: Path, file: str, begins: str) -> None:
    lab("graph", "primary-outage", "-o", str(tmp_path / file))
    assert (tmp_path / file).read_text().startswith(begins)
    lab("graph", "primary-outage", "--as", "mermaid", "-o", str(tmp_path / file))
    assert (tmp_path / file).read_text().startswith("flowchart")


def test_what_is_written_is_what_is_printed(lab: Lab, tmp_path: Path) -> None:
    for form in ("svg", "mermaid", "text"):
        lab("graph", "two-domains", "--as", form, "-o", str(tmp_path / "out"))
        assert (tmp_path / "out").read_text() == lab("graph", "two-domains", "--as", form)


def test_a_file_with_a_topology_a_story_or_a_folder(lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("mx: [{host: left, preference: 5}]")
    assert "left" in lab("graph", str(file))
    assert json.loads(lab("graph", str(file), "--json"))["title"] == "mxlab: mine.yaml"
    folder = tmp_path / "story"
    folder.mkdir()
    (folder / "scenario.yaml").write_text(
        "mxlab: 1\ntitle: T\ntopology: {mx: [{host: right, preference: 5}]}\nsteps: []\n"
    )
    assert "right" in lab("graph", str(folder))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["no-such-thing"], "there is no file no-such-thing"),
        (["primary-outag"], "did you mean 'primary-outage'"),
        (["ZONE"], "is no YAML with a topology"),
        (["BROKEN"], "broken.yaml:1:"),
        (["primary-outage", "-o", "FOLDER"], "is a folder"),
        (["primary-outage", "-o", "FOLDER/none/x.svg"], "is no folder"),
        (["primary-outage", "--json", "--as", "svg"], "give one"),
        (["primary-outage", "--as", "png"], "'png' is not one of"),
    ],
)
def test_what_it_refuses(lab: Lab, tmp_path: Path, words: list[str], says: str) -> None:
    (tmp_path / "mine.zone").write_text("@ IN SOA a. b. 1 1 1 1 1\n")
    (tmp_path / "broken.yaml").write_text("mx: 17\n")
    places = {
        "ZONE": str(tmp_path / "mine.zone"),
        "BROKEN": str(tmp_path / "broken.yaml"),
        "FOLDER": str(tmp_path),
    }
    for place, value in places.items():
        words = [word.replace(place, value) for word in words]
    assert says in lab.run("graph", *words, code=2).stderr


def test_a_lab_that_is_named_has_to_be_up(lab: Lab) -> None:
    assert "is up" in lab.run("graph", "--lab", "nobody", code=3).stderr


def test_a_lab_that_is_up_is_drawn_as_it_is_now(lab: Lab) -> None:
    lab("up")
    try:
        lab("kill", "mx1")
        text = lab("graph")
        assert "--x mx1  crashed" in text or "--x mx1  stopped" in text
        (status,) = json.loads(lab("status", "--json"))
        for node in status["nodes"]:
            assert node["address"] in text
        assert 'class="exchange down"' in lab("graph", "--as", "svg")
    finally:
        lab("down")
