"""The library over the products, as `make library` runs it: what comes of each scenario with each
product in each part is what docs/library.md says."""

import asyncio
import secrets
import time as host_time

import msgspec
import pytest

from mxlab.api.build import python
from mxlab.backends.base import Lab
from mxlab.backends.docker import DockerBackend
from mxlab.model.finding import Verdict
from mxlab.model.scenario import Scenario
from mxlab.model.software import OURS
from mxlab.plan.software import with_software
from mxlab.report.text import text
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load
from mxlab_services.config import TimeConfig
from mxlab_services.control.requests import Stats
from mxlab_services.products.agent import NOT_UNDERSTOOD
from tests.support.library import LibraryCase, cases

pytestmark = [pytest.mark.docker, pytest.mark.long, pytest.mark.nightly]
VERDICTS = {"pass": Verdict.PASS, "differs": Verdict.FAIL, "unknown": Verdict.UNKNOWN}


async def every_line_is_understood(lab: Lab) -> None:
    """The last step: no product has written a line that its grammar does not know."""
    for name, node in lab.nodes.items():
        if lab.topology.software.get(name, OURS) != OURS and await node.state() == "running":
            assert (await node.request(Stats()))[NOT_UNDERSTOOD] == 0, name


def run_over(story: Scenario) -> RunResult:
    story = msgspec.structs.replace(story, steps=(*story.steps, python(every_line_is_understood)))
    token = secrets.token_hex(4)
    time = TimeConfig(story.time_scale, host_time.time())  # noqa: TID251 - the lab begins now
    work = runner.run(story, DockerBackend(), lab=f"lib-{token}", run_id=token, time=time)
    return asyncio.run(work)


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(one, id=f"{one.scenario}-{one.host}-{one.product}")
        for one in cases()
        if one.comes != "unsupported" and not one.slow
    ],
)
def test_it_comes_out_as_is_known(case: LibraryCase) -> None:
    result = run_over(case.story())
    expected = {VERDICTS[case.comes], *([Verdict.PASS] if case.sometimes else [])}
    assert result.verdict in expected, f"{case}\n{text(result)}"


SIDE_BY_SIDE = (
    {"mx1": "postfix", "mx2": "exim", "client": "opensmtpd"},
    {"mx1": "exim", "mx2": "opensmtpd", "client": "postfix"},
    {"mx1": "opensmtpd", "mx2": "postfix", "client": "exim"},
)
SHAPES: dict[str, dict[str, object]] = {
    "ipv4 and ipv6": {"ip": (4, 6)}, "ipv6 alone": {"ip": (6,)}, "tls": {"tls": True},
}  # fmt: skip


@pytest.mark.parametrize("software", SIDE_BY_SIDE, ids=lambda one: "-".join(one.values()))
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_outage_passes_with_all_three_side_by_side(
    shape: dict[str, object], software: dict[str, str]
) -> None:
    story = load("primary-outage")
    topology = with_software(msgspec.structs.replace(story.topology, **shape), software)
    result = run_over(msgspec.structs.replace(story, topology=topology))
    assert result.verdict is Verdict.PASS, text(result)
