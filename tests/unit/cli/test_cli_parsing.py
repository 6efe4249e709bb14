"""What the command line makes of its words, without any lab."""

from pathlib import Path
from typing import Literal

import msgspec
import pytest
from typer.testing import CliRunner

from mxlab.cli import app
from mxlab.cli.dns import asked_of, question
from mxlab.cli.output import table
from mxlab.cli.queue import print_queue, shape
from mxlab.cli.send import parse_header, parse_size
from mxlab.cli.up import make_topology
from mxlab.doctor.machine import MachineCheck, engine_check, works
from mxlab.errors import UnknownName, UsageError
from mxlab_services.control.replies import QueueEntry, QueueRecipient


@pytest.fixture
def cli(tmp_path_factory: pytest.TempPathFactory) -> CliRunner:
    state = str(tmp_path_factory.mktemp("state"))
    environment = {
        "MXLAB_STATE_DIR": state,
        "DOCKER_HOST": f"unix://{state}/no-engine.sock",
        "MXLAB_LAB": None,
        "MXLAB_BACKEND": None,
    }
    return CliRunner(env=environment)


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("10k", 10240), ("1M", 1 << 20), ("5b", 5)])
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "k", "-1", "1.5k", "ten"])
def test_no_sizes(text: str) -> None:
    with pytest.raises(UsageError, match="--size"):
        parse_size(text)


def test_headers() -> None:
    assert parse_header("X-Lab: a:b") == ("X-Lab", "a:b")
    for wrong in ("X-Lab", ": value"):
        with pytest.raises(UsageError, match="--header"):
            parse_header(wrong)


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["example.test"], ("example.test", "A")),
        (["example.test", "mx"], ("example.test", "MX")),
        (["mx", "example.test"], ("example.test", "MX")),
    ],
)
def test_dig_takes_name_and_type_in_either_order(words: list[str], asked: tuple[str, str]) -> None:
    assert question(words) == asked


def test_dig_names_the_nearest_type() -> None:
    with pytest.raises(UnknownName) as problem:
        question(["example.test", "MXX"])
    assert "did you mean 'MX'?" in problem.value.hint


def test_dig_wants_one_name() -> None:
    with pytest.raises(UsageError):
        question(["mx"])


def test_qshape_counts_recipients_by_domain_and_age() -> None:
    def entry(minutes: int, *addresses: str) -> QueueEntry:
        recipients = [QueueRecipient(address) for address in addresses]
        arrival = 1_000_000 - 60 * minutes
        return QueueEntry("deferred", "Q", arrival, 1, "a@b.test", recipients, "<m>", "d", 1)

    found = [
        entry(0, "a@one.test", "b@two.test"),
        entry(7, "c@ONE.test"),
        entry(9999, "d@one.test"),
    ]
    shapes = shape(found, 1_000_000)
    assert list(shapes) == ["TOTAL", "one.test", "two.test"]
    assert shapes["one.test"] == [1, 1, 0, 0, 0, 0, 0, 0, 0, 1]
    assert sum(shapes["TOTAL"]) == 4


def test_a_queue_tells_when_each_message_is_tried_next(capsys: pytest.CaptureFixture[str]) -> None:
    def entry(queue_name: Literal["active", "deferred"], at: float | None) -> QueueEntry:
        bob = [QueueRecipient("bob@example.test", "450 later")]
        return QueueEntry(queue_name, "Q1", 0, 9, "a@b.test", bob, "<m>", "d", 1, at)

    print_queue([entry("deferred", 86400.0), entry("deferred", None), entry("active", 5.0)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.strip() for line in lines if "attempt" in line] == [
        "(next attempt Fri Jan  2 00:00:00)",
        "(next attempt not told)",
    ]


def test_tables_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    table(("NAME", "N"), [("a", 5), ("longer", 10)])
    assert capsys.readouterr().out == "NAME     N\na        5\nlonger  10\n"


@pytest.mark.parametrize(
    ("version", "result"),
    [
        ("20.10.24+dfsg1", "ok"),
        ("19.3.0", "problem"),
        ("25.0.0", "warning"),
        ("26.1.2", "warning"),
        ("26.1.3", "ok"),
        ("28.2.2", "ok"),
    ],
)
def test_doctor_knows_engines(version: str, result: str) -> None:
    check = engine_check(version, "unix:///x")
    assert check.result == result
    assert ("47822" in check.found) == (result == "warning")


def test_doctor_tells_worlds_apart() -> None:
    checks = [
        MachineCheck("engine", "docker", "problem", "none"),
        MachineCheck("netem", "docker", "warning", ""),
    ]
    assert not works(checks, "docker")
    assert works(checks, "process")


# --- bad input, with its exit code ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("dwn", 2, "Did you mean 'down'"),
        ("up --backend dokcer", 2, "did you mean 'docker'?"),
        ("up --mx 0", 2, "1 to 16"),
        ("up --mx many", 2, "--mx"),
        ("up --time-scale 0", 2, "above 0"),
        ("up --time-scale nan", 2, "above 0"),
        ("up --domain gmail.com", 2, "may belong to somebody"),
        ("up --domain no_domain", 2, "domain"),
        ("up --domain client.test", 2, "client.test"),
        ("up --schedule postfx", 2, "did you mean 'postfix'?"),
        ("up --topology /none.yaml", 2, "/none.yaml"),
        ("up --topology /none.yaml --mx 2", 2, "give one"),
        ("up --backend process --lab A/b", 2, "cannot be the name of a lab"),
        ("up --backend docker", 3, "no Docker engine runs at"),
        ("send --to bob@example.test", 3, "no lab called 'lab' is up"),
        ("send --to b@c.test --count 0", 2, "above 0"),
        ("send --to b@c.test --size big", 2, "--size"),
        ("send --to b@c.test --header x", 2, "--header"),
        ("send --to b@c.test --body @/none", 2, "--body"),
        ("send --to b@c.test --notify newer", 2, "did you mean 'NEVER'?"),
        ("send --to b@c.test --notify never,delay", 2, "NEVER alone"),
        ("send --to b@c.test --ret all", 2, "known: FULL, HDRS"),
        ("send --to b@c.test --ret full,hdrs", 2, "one of the two"),
        ("send --to b@c.test --eml /none.eml", 2, "/none.eml cannot be read"),
        ("send --to b@c.test --eml /", 2, "/ is no file"),
        ("send --to b@c.test --eml x --body y", 2, "its own subject, body and size"),
        ("send", 2, "--to"),
        ("queue mx1", 3, "mxlab up"),
        ("queue --hold ALL", 2, "in which node's queue"),
        ("flush --site a.test --all", 2, "exclude each other"),
        ("flush --id ABC", 2, "in which node's queue"),
        ("mailbox --show none", 2, "--show"),
        ("dig", 2, "NAME"),
        ("route bob@example.test", 3, "no lab"),
        ("zone set example.test /none", 2, "/none"),
        ("kill mx1", 3, "no lab"),
        ("status --lab other", 3, "no lab called 'other'"),
        ("scenario show primary-outige", 2, "did you mean 'primary-outage'?"),
        ("image build --base alpine", 2, "known: auto, debian, python"),
        ("image load /none.tar", 3, "no Docker engine"),
        ("doctor --backend docker", 3, ""),
        ("doctor --backend dock", 2, "did you mean 'docker'?"),
        ("export compose --mx 99", 2, "1 to 16"),
    ],
)
def test_bad_input_is_told_with_its_exit_code(
    cli: CliRunner, words: str, code: int, said: str
) -> None:
    result = cli.invoke(app, words.split())
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_chaos_without_hypothesis_says_what_to_install(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = cli.invoke(app, ["chaos", "--runs", "1"])
    assert result.exit_code == 3, result.output
    assert "Hypothesis" in result.stderr
    assert "pip install 'mxlab[chaos]'" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"Subject: x\n\na\0b\n", "line 3: a NUL"),
        (b"Subject: x\n\n" + b"x" * 999, "line 3: 999 octets"),
        (b"From alice Fri Nov 27\nSubject: x\n", "line 1: no header field"),
        (b"Subject: x\r\n" * 900_000, "more than the 10485760"),
    ],
)
def test_a_message_that_is_none_is_told_with_its_file_and_line(
    cli: CliRunner, tmp_path: Path, content: bytes, said: str
) -> None:
    file = tmp_path / "m.eml"
    file.write_bytes(content)
    result = cli.invoke(app, ["send", "--to", "b@c.test", "--eml", str(file)])
    assert result.exit_code == 2, result.output
    assert f"{file}" in result.stderr
    assert said in result.stderr


@pytest.mark.parametrize("text", ["X-A: b\r\nBcc: eve@example.test", "X-A: b\nBcc: e@f.test"])
def test_a_header_brings_no_second_one_along(cli: CliRunner, text: str) -> None:
    result = cli.invoke(app, ["send", "--to", "b@c.test", "--header", text])
    assert result.exit_code == 2
    assert "a line break or control character" in result.stderr


def test_where_nothing_is_nothing_is_wrong(cli: CliRunner) -> None:
    assert cli.invoke(app, ["status"]).stdout == "No lab is up.\n"
    assert msgspec.json.decode(cli.invoke(app, ["status", "--json"]).stdout) == []
    result = cli.invoke(app, ["down"])
    assert result.exit_code == 0
    assert "Nothing was there, and nothing of the lab 'lab' is left here" in result.stdout
    assert "Docker was not asked" in result.stderr


def test_a_malformed_topology_names_file_and_line(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "shape.yaml"
    file.write_text("domain: example.test\nmx:\n  - {host: mx1, preferense: 10}\n")
    result = cli.invoke(app, ["up", "--topology", str(file)])
    assert result.exit_code == 2
    assert f"{file}:3" in result.stderr
    assert "preference" in result.stderr


def test_doctor_speaks_json(cli: CliRunner) -> None:
    result = cli.invoke(app, ["doctor", "--json"])
    found = msgspec.json.decode(result.stdout)
    assert found["docker"] is False
    assert {"python", "engine", "low ports", "netem"} <= {c["name"] for c in found["checks"]}
    assert result.exit_code == (0 if found["process"] else 3)


def test_scenarios_are_listed_and_told(cli: CliRunner) -> None:
    listed = cli.invoke(app, ["scenario", "list"])
    assert listed.exit_code == 0
    assert "primary-outage" in listed.stdout
    told = cli.invoke(app, ["scenario", "show", "primary-outage"])
    assert "kill mx1" in told.stdout
    shown = msgspec.json.decode(
        cli.invoke(app, ["scenario", "show", "primary-outage", "--json"]).stdout
    )
    assert shown["id"] == "primary-outage"


def test_compose_is_exported(cli: CliRunner) -> None:
    result = cli.invoke(app, ["export", "compose", "--mx", "3"])
    assert result.exit_code == 0
    assert "mxlab-lab-mx3" in result.stdout


def test_the_version_is_said(cli: CliRunner) -> None:
    assert cli.invoke(app, ["--version"]).stdout == "mxlab 0.1.0\n"


@pytest.mark.parametrize(
    ("words", "rule"),
    [
        (
            ["send", "--to", f"{'x' * 300}@example.test"],
            "the local part has 300 octets; at most 64",
        ),
        (["send", "--to", "bob@example.test", "--from", "a@♥.test"], "no label"),
        (["mailbox", "bob@example.test."], "ends in a dot"),
        (["route", f"bob@{'x' * 64}.test"], "a label of 64 octets, at most 63"),
        (["up", "--domain", f"{'ü' * 60}.test"], "Label too long"),
        (["up", "--domain", ".".join(["x" * 61] * 4 + ["test"])], "a host is called"),
        (["up", "--domain", "♥.test"], "no label"),
        (["up", "--domain", "xn--zzzzzzz9.test"], "no A-label"),
        (["up", "--domain", "gmail.com"], "may belong to somebody"),
        (["up", "--domain", "client.test"], "cannot have the domain"),
    ],
)
def test_no_address_and_no_domain_is_usage_with_the_rule(
    cli: CliRunner, words: list[str], rule: str
) -> None:
    result = cli.invoke(app, words)
    assert result.exit_code == 2
    assert rule in " ".join(result.output.split())


def test_a_labs_domain_may_be_written_as_people_write_it() -> None:
    for written in ("bücher.example", "BÜCHER.Example.", "xn--bcher-kva.example"):
        assert make_topology(None, None, written, None).domain == "xn--bcher-kva.example"


def test_digs_other_words_are_a_server_and_options() -> None:
    assert asked_of(["@ns1", "example.test", "+TRACE"][1:]) == ("", {"trace"}, ["example.test"])
    assert asked_of(["@ns1", "MX", "example.test", "+tcp"]) == (
        "ns1", {"tcp"}, ["MX", "example.test"],
    )  # fmt: skip
    with pytest.raises(UsageError, match="begins at the root"):
        asked_of(["@ns1", "example.test", "+trace"])
    for words in (["@a", "@b", "x"], ["@", "x"]):
        with pytest.raises(UsageError, match="name one server"):
            asked_of(words)
    with pytest.raises(UnknownName, match=r"'\+trase'") as caught:
        asked_of(["x", "+trase"])
    assert "+trace" in caught.value.hint
