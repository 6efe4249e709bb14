"""Runs as JUnit XML: a suite per run, a case per step that can fail and per expectation.

UNKNOWN is an <error>, FAIL a <failure>; each says how to run the same again.
"""

import re
from collections.abc import Iterable
from xml.etree import ElementTree as Xml

from mxlab.model.finding import Finding, Verdict
from mxlab.result import RunResult

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


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
        name=_clean(f"{name} on {result.backend}"),
        tests=str(len(verdicts)),
        failures=str(verdicts.count(Verdict.FAIL)),
        errors=str(verdicts.count(Verdict.UNKNOWN)),
        time=f"{result.took:.3f}",
    )
    properties = Xml.SubElement(suite, "properties")
    for key, value in (("seed", result.seed), ("run", result.run_id), ("replay", result.replay)):
        Xml.SubElement(properties, "property", name=key, value=_clean(str(value)))
    for finding in result.findings:
        _case(suite, name, finding, result.replay)


def _case(suite: Xml.Element, name: str, finding: Finding, replay: str) -> None:
    case = Xml.SubElement(
        suite, "testcase", classname=_clean(f"mxlab.{name}"), name=_clean(finding.check), time="0"
    )
    kinds = {Verdict.FAIL: "failure", Verdict.UNKNOWN: "error"}
    if finding.verdict in kinds:
        said = Xml.SubElement(case, kinds[finding.verdict], message=_clean(finding.text))
        lines = [*([finding.place] if finding.place else []), *finding.details, f"again: {replay}"]
        said.text = _clean("\n".join(lines))


def _clean(text: str) -> str:
    """`text` without the characters that XML 1.0 cannot carry."""
    return _NOT_XML.sub("\ufffd", text)
