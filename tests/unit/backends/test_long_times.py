"""Time without end: every duration that a file may say comes to its end, and too long ones are
refused with the bound."""

import asyncio
import math

import pytest

from mxlab.api import build as api
from mxlab.api.run import run
from mxlab.backends.sim.loop import Runaway, SimLoop
from mxlab.cli.up import make_time
from mxlab.errors import ScenarioError, UsageError
from mxlab.model.duration import LONGEST, parse_duration
from mxlab.model.finding import Verdict, overall
from mxlab.model.scenario import Scenario
from mxlab.model.step import Parallel, Wait
from mxlab.scenario.load import loads
from mxlab.scenario.sound import unsound

DAY = 86400.0
HEAD = "mxlab: 1\ntitle: t\nexpect: [nothing-lost]\nsteps:\n"


@pytest.mark.parametrize("days", [97, 194, 195, 250, 3660, 36_600, 3_660_000])
def test_a_timer_is_due_when_its_time_has_come_however_late_that_is(days: int) -> None:
    """Past 2^24 s a nanosecond is less than the clock can tell."""
    loop = SimLoop()
    loop.most_turns = 100
    fired: list[float] = []

    async def main() -> None:
        loop.call_later(days * DAY + 1 / 3, lambda: fired.append(loop.time()))
        await asyncio.sleep(days * DAY + 1)
        for _ in range(10):
            await asyncio.sleep(0.1)

    try:
        loop.run_until_complete(main())
    except Runaway as error:
        pytest.fail(str(error))
    finally:
        loop.close()
    assert fired == [days * DAY + 1 / 3]
    assert loop.time() == pytest.approx(days * DAY + 2)


@pytest.mark.parametrize("scale", [0.001, 1.0, 1_000_000.0])
def test_mail_waits_for_years_and_a_lab_goes_on_after_them(scale: float) -> None:
    story = loads(
        HEAD + "  - fault: {id: f, kill: mx1}\n"
        "  - fault: {id: g, kill: mx2}\n"
        "  - send: {id: a, from: alice@client.test, to: bob@example.test}\n"
        "  - wait: 200d\n"
        "  - heal: f\n"
        "  - send: {id: b, from: alice@client.test, to: bob@example.test}\n"
        "  - eventually: {within: 5d, delivered: b}\n",
        "x.yaml",
        "x",
    )
    result = run(story, "sim", time_scale=scale)
    assert overall(result.findings) is Verdict.PASS, result.findings
    assert result.lab_seconds > 200 * DAY


TOO_LONG = ["3661d", "87865h", "1000000d", "9" * 400 + "s", "3660d1ms"]


@pytest.mark.parametrize("text", TOO_LONG)
def test_a_duration_has_a_bound_that_is_told(text: str) -> None:
    with pytest.raises(ValueError, match=r"is too long: the longest duration is ten years \(3660d"):
        parse_duration(text)
    for step in (
        f"  - wait: {text}\n",
        f"  - never: {{during: {text}, queue: {{host: mx1, count: 1}}}}\n",
        f"  - eventually: {{within: {text}, queue: {{host: mx1, count: 1}}}}\n",
    ):
        with pytest.raises(ScenarioError, match=r"x\.yaml:5:\d+.*ten years"):
            loads(HEAD + step, "x.yaml", "x")


def test_the_longest_is_allowed_and_exponents_are_no_durations() -> None:
    assert parse_duration("3660d") == LONGEST
    for text in ("1e3s", "1E99d", "infs", "nans", "٣s"):
        with pytest.raises(ValueError, match="no duration"):
            parse_duration(text)


@pytest.mark.parametrize("seconds", [LONGEST + 1, 1e300, math.inf, math.nan, -1.0])
def test_numbers_from_python_have_the_same_bound(seconds: float) -> None:
    with pytest.raises(ScenarioError, match="no duration from 0 to ten years"):
        api.wait(seconds)
    made = Scenario(title="t", steps=(Wait(seconds),), expect=("nothing-lost",))
    assert ["is no duration" in problem.text for problem in unsound(made)] == [True]


def test_many_long_steps_are_too_long_together_and_the_first_one_over_is_named() -> None:
    with pytest.raises(ScenarioError, match=r"x\.yaml:7:.*more than ten years"):
        loads(HEAD + "  - wait: 2000d\n  - wait: 1600d\n  - wait: 100d\n", "x.yaml", "x")
    inner = Scenario(
        title="t", steps=(Parallel((Wait(LONGEST), Wait(1.0))),), expect=("nothing-lost",)
    )
    assert [problem.path[-1] for problem in unsound(inner)] == ["wait"]


def test_mail_at_a_rate_that_never_ends_is_refused() -> None:
    send = "{id: a, from: alice@client.test, to: bob@example.test, count: 2, rate: 1.0e-300}"
    with pytest.raises(ScenarioError, match="no duration from 0 to ten years"):
        loads(HEAD + f"  - send: {send}\n", "x.yaml", "x")


@pytest.mark.parametrize(
    "fault",
    [
        "slow-link: {host: mx1, seconds: 1e300}",
        "slow-link: {host: mx1, seconds: .inf}",
        "tarpit: {host: mx1, seconds: 604801}",
        "greylist: {host: mx1, seconds: 1e9}",
        "dns-delay: {host: dns, name: example.test, seconds: .nan}",
    ],
)
def test_the_seconds_of_a_fault_are_bounded(fault: str) -> None:
    with pytest.raises(ScenarioError, match=r"x\.yaml:5:\d+"):
        loads(HEAD + f"  - fault: {{id: f, {fault}}}\n", "x.yaml", "x")


@pytest.mark.parametrize("scale", [0.0, 1e-300, 1e300, math.inf, math.nan, -1.0])
def test_the_speed_of_time_is_bounded(scale: float) -> None:
    with pytest.raises(UsageError, match=r"0\.001 to 1000000"):
        make_time(scale)
    story = Scenario(title="t", steps=(Wait(1.0),), expect=("nothing-lost",))
    with pytest.raises(UsageError, match=r"0\.001 to 1000000"):
        run(story, "sim", time_scale=scale)
