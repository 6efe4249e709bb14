"""What an operator does to a lab, whoever asks: here in the simulation."""

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.errors import UnknownName, UsageError
from mxlab.faults.open import open_faults
from mxlab.operate.describe import describe
from mxlab.operate.faults import break_something, undo
from mxlab.operate.nodes import mtas, node_called
from mxlab.operate.zones import change_record, replace_zone, zones_served
from mxlab_services.faults.kinds import ReplyWith
from tests.support.stories import in_lab


def test_a_fault_has_a_name_that_is_free_and_goes_by_it() -> None:
    async def story(lab: SimLab) -> None:
        fault = ReplyWith("mx1", verb="RCPT", code=451)
        names = [await break_something(lab, fault) for _ in range(2)]
        assert names == ["mx1-reply", "mx1-reply-2"]
        with pytest.raises(UsageError, match="'mx1-reply' is taken"):
            await break_something(lab, fault, "mx1-reply")
        with pytest.raises(UnknownName, match="mx9"):
            await break_something(lab, ReplyWith("mx9", verb="RCPT", code=451))
        assert [one.name for one in await undo(lab, ["mx1-reply-2"])] == ["mx1-reply-2"]
        assert [one.name for one in await undo(lab, ["mx1"])] == ["mx1-reply"]
        assert await open_faults(lab) == []
        with pytest.raises(UnknownName, match="nothing"):
            await undo(lab, ["nothing"])

    in_lab(story)


def test_what_is_said_of_a_lab_is_as_its_nodes_are_now() -> None:
    async def story(lab: SimLab) -> None:
        await lab.nodes["mx1"].kill()
        shown = {node.node: node for node in (await describe(lab)).nodes}
        assert [(n.node, n.role) for n in shown.values()] == [
            ("dns", "dns"), ("mx1", "primary MX 10"), ("mx2", "backup MX 20"), ("client", "client")
        ]  # fmt: skip
        assert (shown["mx1"].state, shown["mx1"].queued) == ("stopped", None)
        assert (shown["mx2"].state, shown["mx2"].queued) == ("running", 0)
        assert shown["dns"].queued is None

    in_lab(story)


def test_a_record_goes_into_the_zone_that_holds_its_name() -> None:
    async def story(lab: SimLab) -> None:
        report, silent = await change_record(lab, "www.example.test. 60 IN TXT hi", adding=True)
        assert (report.origin, silent) == ("example.test.", [])
        assert any(line.startswith("www.example.test.") for line in report.records)
        report, _ = await change_record(lab, "www.example.test. TXT", adding=False)
        assert not any(line.startswith("www") for line in report.records)
        with pytest.raises(UsageError, match="lies in no zone of the lab"):
            await change_record(lab, "www.real.org. 60 IN TXT hi", adding=True)
        await replace_zone(lab, "new.test", "@ 60 IN SOA ns h 1 2 3 4 5\n@ 60 IN NS ns\n")
        found, _ = await zones_served(lab)
        assert "new.test." in {report.origin for _, report in found}

    in_lab(story)


def test_a_name_server_has_no_queue() -> None:
    async def story(lab: SimLab) -> None:
        assert [node.config.node for node in mtas(lab, [])] == ["mx1", "mx2", "client"]
        with pytest.raises(UsageError, match="dns is no MTA"):
            mtas(lab, ["dns"])
        with pytest.raises(UnknownName, match="mx3"):
            node_called(lab, "mx3")

    in_lab(story)
