"""Command lines that a program types on a lab: the real commands, in virtual time and in real."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mxlab.backends.base import Lab, Order
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.cli.hands import CAN_TYPE, command_problem, type_command
from mxlab.errors import UsageError
from mxlab.operate.hands import Typed

# Typed one after the other; what is said has to hold the words.
STORY = [
    ("mxlab kill mx1", 0, "mx1 is stopped"),
    ("mxlab status", 0, "mx1 stopped"),
    ("mxlab send -t bob@example.test --count 2 --batch some", 0, "queued as"),
    ("mxlab dig example.test MX", 0, "10 mx1.example.test."),
    ("mxlab dig @dns example.test MX", 0, "20 mx2.example.test."),
    ("mxlab zone add example.test. 60 IN MX 30 mx3.example.test.", 0, "MX 30 mx3"),
    ("mxlab zone remove example.test. MX", 0, "serial 3"),
    ("mxlab zone list example.test", 0, "serial 3"),
    ("mxlab config mx2 limits.message_size=1000000", 0, "(was 10485760)"),
    ("mxlab fault mx2 refuse", 0, "is in effect"),
    ("mxlab fault list", 0, "mx2-refuse"),
    ("mxlab heal mx2", 0, "undone"),
    ("mxlab start mx1", 0, "mx1 is running"),
    ("mxlab pause mx2", 0, "mx2 is paused"),
    ("mxlab resume mx2", 0, "mx2 is running"),
    ("mxlab queue", 0, "client"),
    ("mxlab qshape", 0, "TOTAL"),
    ("mxlab queue client --hold ALL", 0, "put on hold"),
    ("mxlab queue client --release ALL", 0, "released"),
    ("mxlab flush client", 0, "client: trying"),
    ("mxlab send -t carol@[127.0.0.1] --body x", 0, "queued as"),
    ("mxlab route bob@example.test", 0, "from client"),
    ("mxlab etrn mx2", 0, "ETRN example.test"),
    ("mxlab logs -n 1 mx2", 0, "mx2"),
    ("mxlab mailbox", 0, ""),
    ("mxlab trace last", 0, "client"),
    ("mxlab judge nothing-lost", 0, "nothing-lost"),
    ("mxlab explain MX record --here", 0, "$ mxlab dig example.test MX"),
    ("mxlab stop mx2", 0, "mx2 is stopped"),
]


def in_simulation(use: Callable[[Lab], Awaitable[None]]) -> None:
    async def whole() -> None:
        async with SimBackend().deploy(Order("a-lab", "run"), lambda _: None) as lab:
            await use(lab)

    simulate(whole)


def typed(*lines: str) -> Typed:
    """What the last of them came to, in a lab of its own."""
    came_to: list[Typed] = []

    async def use(lab: Lab) -> None:
        for line in lines:
            came_to.append(await type_command(lab, line))

    in_simulation(use)
    return came_to[-1]


async def play(lab: Lab) -> None:
    for line, code, words in STORY:
        came_to = await type_command(lab, line)
        said = " ".join(came_to.output.split())
        assert (came_to.exit_code, words in said) == (code, True), f"{line}: {came_to}"


def test_an_operators_day_in_the_simulation() -> None:
    in_simulation(play)


async def test_an_operators_day_among_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MXLAB_STATE_DIR", str(tmp_path))
    order = Order(f"t-{secrets.token_hex(4)}", "run")
    async with asyncio.timeout(60), ProcessBackend().deploy(order, lambda _: None) as lab:
        await play(lab)


def test_each_command_that_can_be_typed_was() -> None:
    words = [line.removeprefix("mxlab ") for line, *_ in STORY]
    assert [name for name in CAN_TYPE if not any(w.startswith(name) for w in words)] == ["zone set"]


def test_a_zone_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "zone"
    line = f"mxlab zone set example.test {file}"
    assert "cannot be read" in typed(line).output
    file.write_text(
        "@ 60 IN SOA dns.example.test. hostmaster.example.test. 7 3600 600 86400 60\n"
        "@ 60 IN NS dns.example.test.\n"
        "@ 60 IN MX 10 other.example.test.\n"
    )
    assert "MX 10 other.example.test." in typed(line).output


def test_to_wait_for_mail_passes_the_labs_time_only() -> None:
    late = typed(
        "mxlab kill mx1", "mxlab kill mx2", "mxlab send -t bob@example.test --wait --timeout 3000"
    )
    assert late.exit_code == 4
    assert "connect to mx2.example.test" in late.output
    assert typed("mxlab send -t bob@example.test --show-dialog --wait").output.endswith(
        "delivered\n"
    )


@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("mxlab start mx9", 2, "did you mean 'mx2'"),
        ("mxlab flush --nonsense", 2, "No such option: --nonsense"),
        ("mxlab config mx2 limits.message_size=much", 2, "a whole number"),
        ("mxlab etrn client", 1, "45"),
        ("mxlab send", 2, "Missing option '--to'"),
    ],
)
def test_what_a_person_would_be_told_is_returned(line: str, code: int, said: str) -> None:
    came_to = typed(line)
    assert came_to.exit_code == code
    assert said in came_to.output


NO_LINES = [
    ("mxlab up", "`mxlab up` cannot be typed"),
    ("mxlab learn check", "`mxlab learn` cannot be typed"),
    ("mxlab quee", "did you mean 'queue'"),
    ("mxlab zone", "cannot be typed"),
    ("mxlab zone remov x", "did you mean 'zone remove'"),
    ("mxlab", "cannot be typed"),
    ("ls", "'ls' is no command of mxlab's"),
    ("mxlab 'queue", "No closing quotation"),
    ("mxlab queue --lab other", "the lab is the one of the exercise"),
    ("mxlab queue --lab=other", "the lab is the one of the exercise"),
    ("mxlab logs --follow", "it does not end by itself"),
    ("mxlab logs -f", "it does not end by itself"),
    ("mxlab send -t bob@example.test --body -", "nobody sits at standard input"),
    ("mxlab queue --help", "it does nothing"),
    ("", "is no command of mxlab's"),
]


@pytest.mark.parametrize(("line", "said"), NO_LINES)
def test_what_cannot_be_typed_is_refused_before_anything_happens(line: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        typed(line)
    assert said in f"{refused.value} {refused.value.hint}"
    assert said in command_problem(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mxlab flush --nonsense", "No such option: --nonsense"),
        ("mxlab zone list --nonsense", "No such option: --nonsense"),
        ("mxlab send --count many -t bob@example.test", "--count"),
        ("mxlab config", "Missing argument"),
    ],
)
def test_a_problem_is_found_without_a_lab(line: str, said: str) -> None:
    assert said in command_problem(line)


@pytest.mark.parametrize("line", [line for line, *_ in STORY])
def test_what_can_be_typed_has_no_problem(line: str) -> None:
    assert command_problem(line) == ""


def test_nothing_reaches_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    typed("mxlab queue", "mxlab start mx9", "mxlab flush --nonsense")
    assert capfd.readouterr() == ("", "")
