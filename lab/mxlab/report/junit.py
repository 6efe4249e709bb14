"""Runs as JUnit XML: a suite per run, a case per step that can fail and per expectation.

UNKNOWN is an <error>, FAIL a <failure>; each says how to run the same again.
"""

from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from mxlab.model.finding import Finding, Verdict
from mxlab.runner.result import RunResult
from mxlab.visible import visible_text


def junit(results: Iterable[RunResult]) -> str:
    """The XML document for these runs."""
    suites = Xml.Element("testsuites", name="mxlab")
    for result in results:
        _suite(suites, result)
    Xml.indent(suites)
    return Xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _suite(suites: Xml.Element, result: RunResult) -> None:
    verdicts = [finding.verdict for finding in result.findings]
    name = result.scenario.id or result.scenario.title
    suite = Xml.SubElement(
        suites,
        "testsuite",
        name=visible_text(f"{name} on {result.backend}"),
        tests=str(len(verdicts)),
        failures=str(verdicts.count(Verdict.FAIL)),
        errors=str(verdicts.count(Verdict.UNKNOWN)),
        time=f"{result.took:.3f}",
    )
    properties = Xml.SubElement(suite, "properties")
    for key, value in (("seed", result.seed), ("run", result.run_id), ("replay", result.replay)):
        Xml.SubElement(properties, "property", name=key, value=visible_text(str(value)))
    for finding in result.findings:
        _case(suite, name, finding, result.replay)


def _case(suite: Xml.Element, name: str, finding: Finding, replay: str) -> None:
    case = Xml.SubElement(
        suite,
        "testcase",
        classname=visible_text(f"mxlab.{name}"),
        name=visible_text(finding.check),
        time="0",
    )
    kinds = {Verdict.FAIL: "failure", Verdict.UNKNOWN: "error"}
    if finding.verdict in kinds:
        said = Xml.SubElement(case, kinds[finding.verdict], message=visible_text(finding.text))
        lines = [*([finding.place] if finding.place else []), *finding.details, f"again: {replay}"]
        said.text = visible_text("\n".join(lines))
