"""A `send` step with a whole message beside the scenario, and with wishes of the sender."""

import os
from pathlib import Path

import pytest

from mxlab import delivered, run, send
from mxlab.api.build import Scenario
from mxlab.errors import ScenarioError
from mxlab.scenario.describe import story
from mxlab.scenario.lint import remarks
from mxlab.scenario.load import load, loads
from mxlab.scenario.write import scenario_text

HEAD = "mxlab: 1\ntitle: t\nsteps:\n"
END = "expect: [nothing-lost]\n"


def scenario(tmp_path: Path, *sends: str) -> str:
    """The file of a scenario with these `send` steps, each but for sender and recipient."""
    lines = [
        f"  - send: {{id: b{number}, from: '<>', to: bob@example.test, {one}}}\n"
        for number, one in enumerate(sends)
    ]
    file = tmp_path / "scenario.yaml"
    file.write_text(HEAD + "".join(lines) + END)
    return str(file)


def wrong(path: str) -> list[str]:
    """What lint has to say of it, and that a run says the first of it before anything starts."""
    found = load(path)
    said = [remark.problem.text for remark in remarks(found, []) if remark.level == "error"]
    if said:
        with pytest.raises(ScenarioError) as caught:
            run(found)
        assert f"{path}:" in str(caught.value)
        assert said[0] in str(caught.value)
    return said


def test_a_whole_message_arrives_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_bytes(b"Subject: x\nMessage-ID: <a@b.test>\n\n\xe9\n")
    path = scenario(tmp_path, "eml: m.eml, notify: never, ret: hdrs, headers: ['X-A: b']")
    assert wrong(path) == []
    assert run(load(path)).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "m.eml cannot be read: No such file"),
        (b"\0", "m.eml: line 1: a NUL"),
        (b"hello", "m.eml: line 1: no header field"),
        (b"To: a\n\n" + b"x" * 2000, "m.eml: line 3: 2000 octets"),
        (b"To: a\n" * 2_000_000, "more than the 10485760 bytes"),
    ],
)
def test_a_file_that_is_no_message_is_told_before_a_run(
    tmp_path: Path, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / "m.eml").write_bytes(content)
    (text,) = wrong(scenario(tmp_path, "eml: m.eml"))
    assert said in text


def test_a_folder_and_a_fifo_are_no_files(tmp_path: Path) -> None:
    (tmp_path / "m.eml").mkdir()
    os.mkfifo(tmp_path / "fifo.eml")
    said = wrong(scenario(tmp_path, "eml: m.eml", "eml: fifo.eml"))
    assert all(text.endswith("is no file") for text in said)
    assert len(said) == 2


def test_a_link_that_leads_out_is_refused(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    (tmp_path / "m.eml").write_text("Subject: x\n\n")
    (inside / "m.eml").symlink_to("../m.eml")
    with pytest.raises(ScenarioError, match="a link that leads out of the scenario's folder"):
        load(scenario(inside, "eml: m.eml"))


def test_a_message_with_its_own_id_is_sent_once(tmp_path: Path) -> None:
    (tmp_path / "m.eml").write_text("Message-ID: <a@b.test>\n\n")
    twice = wrong(scenario(tmp_path, "eml: m.eml, count: 2"))
    assert ["so it is one message, not 2" in text for text in twice] == [True]
    again = wrong(scenario(tmp_path, "eml: m.eml", "eml: m.eml"))
    assert ["which b0 sent already" in text for text in again] == [True]


def test_python_says_the_same_as_a_file() -> None:
    step = send(
        "b", to="bob@example.test", sender="", notify=["failure", "delay"], headers=["X-A: b"]
    )
    written = Scenario(title="t", steps=(step,), expect=(delivered(step),))
    assert loads(scenario_text(written)).steps == (step,)
    (told,) = story(written)
    assert "from the null sender (<>)" in told
    assert "Its sender wants to hear of failure, delay." in told


def test_what_a_sender_cannot_wish_is_told_in_python_too() -> None:
    step = send("b", to="bob@example.test", notify=["never", "delay"])
    with pytest.raises(ScenarioError, match="never, and yet delay"):
        run(Scenario(title="t", steps=(step,), expect=("nothing-lost",)))
