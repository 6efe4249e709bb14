"""Mermaid flowcharts of labs, by the part of its grammar that they use."""

import re

import pytest

from mxlab.picture.diagram import Diagram, ShownHost
from mxlab.picture.mermaid import mermaid
from tests.support.pictures import NAMES, pictured

LABEL = r'"(?:[\w .,:()/+@-]|#\d+;|<br/>)*"'
NODE = rf"[hd]\d+(?:\[{LABEL}\]|\(\[{LABEL}\]\)|\[\({LABEL}\)\])"
LINK = r"(?:-->|--x|==>|-\.->|-\.-)"
LINE = re.compile(
    rf"flowchart LR|  accTitle: [\w .,:()/@-]+|  accDescr: [\w .,:()/@-]+"
    rf'|  subgraph dns \["DNS"\]|    direction LR|  end'
    rf"|(?:  |    ){NODE}|(?:  |    )[hd]\d+ {LINK}(?:\|{LABEL}\|)? (?:[hd]\d+|dns)"
)


def wrong(text: str) -> list[str]:
    return [line for line in text.splitlines() if not LINE.fullmatch(line)]


@pytest.mark.parametrize("name", NAMES)
def test_every_line_is_one_that_mermaid_reads(name: str) -> None:
    diagram = pictured(name)
    text = mermaid(diagram)
    assert wrong(text) == []
    made = re.findall(r"^ +([hd]\d+)[\[(]", text, re.MULTILINE)
    assert len(made) == len(set(made)) == len(diagram.places) + len(diagram.domains)
    ends = re.findall(rf"([hd]\d+) {LINK}(?:\|[^|]*\|)? ([hd]\d+|dns)", text)
    assert {end for pair in ends for end in pair} <= {*made, "dns"}


def test_odd_names_are_given_by_their_numbers() -> None:
    evil = '"]; click h0 "javascript:1" %% end `x` <b>|x| #quot; ü'
    text = mermaid(Diagram(evil, (ShownHost("a", "client", notes=(evil,)),), asks="x"))
    assert wrong(text) == []
    assert "#34;#93;#59; click" in text
    assert "#252;" in text


def test_this_check_can_fail() -> None:
    assert wrong('flowchart LR\n  h0["a"b"]') == ['  h0["a"b"]']


def test_a_broken_arrow_leads_to_a_host_that_does_not_run() -> None:
    text = mermaid(pictured("down"))
    assert '--x|"MX 10"|' in text
    assert '-->|"MX 20"|' in text


def test_each_host_says_what_it_is() -> None:
    text = mermaid(pictured("default"))
    assert '"mx1<br/>primary, MX 10<br/>10.53.25.3"' in text
    assert '"client<br/>sends#59; mail of client.test<br/>10.53.25.5"' in text
