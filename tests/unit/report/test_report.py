"""Reports: what people, programs and CI servers read of a run."""

import json
from xml.etree import ElementTree as Xml

from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE
from mxlab.model.finding import Finding, Verdict
from mxlab.report.document import SCHEMA, to_json
from mxlab.report.junit import junit
from mxlab.report.text import text
from tests.support.reports import result

PASSED = Finding("nothing-lost", Verdict.PASS, "all 1 that were taken are accounted for")
FAILED = Finding("step 3", Verdict.FAIL, "it never came \x00", ("a detail",), "x.yaml:7")
OPEN = Finding("mx-order", Verdict.UNKNOWN, "the evidence has gaps", ("mx1: events are missing",))


def test_the_text_says_the_verdict_why_and_how_to_run_it_again() -> None:
    said = text(result(PASSED, FAILED, OPEN))
    assert "story: A title" in said
    assert "pass  nothing-lost: all 1" in said
    assert "FAIL  step 3: it never came \\x00 (x.yaml:7)\n          a detail" in said
    assert "FAILED by step 3, mx-order: 1 messages, 2h of lab time in 1.8 s" in said
    assert "of real time on sim, seed 5" in said
    assert said.endswith("again: mxlab run story --backend sim --seed 5\n")


def test_the_text_of_a_pass_is_short() -> None:
    said = text(result(PASSED))
    assert "PASSED: " in said
    assert "again" not in said


def test_the_json_is_versioned_and_whole() -> None:
    document = json.loads(to_json(result(PASSED, OPEN)))
    assert document["schema"] == SCHEMA
    assert document["verdict"] == "unknown"
    assert document["exit_code"] == EXIT_INCONCLUSIVE
    assert [finding["check"] for finding in document["findings"]] == ["nothing-lost", "mx-order"]
    assert document["counts"]["submitted"] == 1
    assert document["evidence"]["mailboxes"]["mx1"][0]["address"] == "bob@example.test"
    assert document["replay"] == "mxlab run story --backend sim --seed 5"
    assert result(FAILED).exit_code == EXIT_FAILED


def test_junit_has_a_case_for_each_finding_with_the_replay_in_the_failure() -> None:
    root = Xml.fromstring(junit([result(PASSED, FAILED, OPEN), result(PASSED)]))
    first, second = root.findall("testsuite")
    assert (first.get("tests"), first.get("failures"), first.get("errors")) == ("3", "1", "1")
    assert (second.get("tests"), second.get("failures"), second.get("errors")) == ("1", "0", "0")
    failure = first.find("testcase/failure")
    assert failure is not None
    assert failure.text is not None
    assert "x.yaml:7\na detail\nagain: mxlab run story --backend sim --seed 5" in failure.text
    error = first.find("testcase[@name='mx-order']/error")
    assert error is not None
    assert error.get("message") == "the evidence has gaps"
