"""YAML within bounds: JSON reads as JSON does, and a document without end is refused at once."""

import json
from itertools import count
from pathlib import Path

import pytest

from mxlab.errors import ScenarioError, UsageError
from mxlab.model.step import Say, Send
from mxlab.scenario.bounds import DEEPEST, MOST_CHARACTERS, MOST_NODES
from mxlab.scenario.load import load, loads
from mxlab.scenario.yaml import parse

STORY = {
    "mxlab": 1,
    "title": "An emoji 😀, and \U0010ffff",
    "steps": [
        {"say": "\U00010000 😀😀"},
        {
            "send": {
                "id": "batch", "from": "alice@client.test", "to": "bob@example.test",
                "subject": "é 漢 😀", "body": "\U0001f9d1‍\U0001f52c",
            }
        },
    ],
    "expect": ["nothing-lost"],
}  # fmt: skip


@pytest.mark.parametrize("ascii_only", [True, False])
def test_json_is_yaml(ascii_only: bool) -> None:
    read = loads(json.dumps(STORY, ensure_ascii=ascii_only))
    say, send = read.steps
    assert isinstance(say, Say)
    assert isinstance(send, Send)
    assert read.title == STORY["title"]
    assert say.text == "\U00010000 😀😀"
    assert (send.subject, send.body) == ("é 漢 😀", "\U0001f9d1‍\U0001f52c")


def test_keys_are_json_too() -> None:
    assert parse('{"\\ud83d\\ude00": 1}', "x").plain() == {"😀": 1}


@pytest.mark.parametrize(
    "text", ['"\\ud83d"', '"\\ude00\\ud83d"', '"\\ud83dx\\ude00"', '"\\uDFFF"', '{"\\ud800": 1}']
)
def test_half_a_character_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(
        ScenarioError, match=r"^x:2:\d+: half of a character: \\ud[89a-f]"
    ) as caught:
        parse(f"- good\n- {text}\n", "x")
    assert caught.value.line == 2


def test_aliases_may_be_used() -> None:
    tree = parse("a: &a [x, &b {c: d}]\nb: [*a, *b, *a]\n", "x")
    assert tree.plain()["b"] == [["x", {"c": "d"}], {"c": "d"}, ["x", {"c": "d"}]]


def test_what_is_within_the_bounds_is_read() -> None:
    assert parse("[" * DEEPEST + "]" * DEEPEST, "x").plain()
    width = MOST_NODES // 2 - 2
    wide = parse("- " + "\n- ".join(f"&a{n} {n}" for n in range(9)) + "\n- *a8" * 9, "x")
    assert wide.plain() == [*range(9), *[8] * 9]
    assert len(parse(f"[[{'1,' * width}]]", "x").plain()[0]) == width


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * (DEEPEST + 1) + "]" * (DEEPEST + 1), f"x:1:{DEEPEST + 1}: nested more than"),
        ("a: &a " + "[" * 40 + "]" * 40 + "\nb: " + "[" * 40 + "*a" + "]" * 40, "x:2:44: nested"),
        ("- &a [1, 2]\n- " + "*a\n- " * (MOST_NODES // 3), "with what the aliases stand for, more"),
        ("[" + "1," * (MOST_NODES + 1) + "]", "more than 20000 keys and values"),
        ("- &a [*a]", "x:1:3: this anchor contains itself"),
        ("- &a {? *a : 1}", "x:1:3: this anchor contains itself"),
        ("- &a [&b [*a, *b]]", "x:1:3: this anchor contains itself"),
        ("- *a", "x:1:3: not YAML: found undefined alias"),
        ("x" * (MOST_CHARACTERS + 1), "longer than 2,000,000 characters"),
        ('- "\\U00110000"', "x:1:6: there is no such character"),
        ("- a\n- b\x00c", r"x:2:4: not YAML: U\+0000 cannot stand in a file"),
        ("- 1\n---\n- 2\n", "expected a single document"),
    ],
)
def test_what_is_out_of_bounds_is_refused(text: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        parse(text, "x")


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    names = (f"n{number}" for number in count())
    last, text = next(names), "n0: &n0 [x, x, x, x, x, x, x, x, x]\n"
    for _ in range(200):  # nine to the power of two hundred
        name = next(names)
        text += f"{name}: &{name} [{', '.join([f'*{last}'] * 9)}]\n"
        last = name
    with pytest.raises(ScenarioError, match=r"^x:5:\d+: with what the aliases stand for"):
        parse(text, "x")


def test_a_device_without_end_is_refused() -> None:
    with pytest.raises((ScenarioError, UsageError), match=r"too long|there is no file"):
        load("/dev/zero")


def test_a_folder_and_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(b"mxlab: 1\ntitle: a\xffb\n")
    with pytest.raises(ScenarioError, match=r"x\.yaml:2:9: not UTF-8 text"):
        load(str(tmp_path / "x.yaml"))
    (tmp_path / "big.yaml").write_bytes(b"#" * (4 * MOST_CHARACTERS + 2))
    with pytest.raises(ScenarioError, match=r"big\.yaml: too long"):
        load(str(tmp_path / "big.yaml"))
    with pytest.raises(UsageError):
        load(str(tmp_path))
