"""A story in plain words, as `mxlab scenario show` has it."""

import pytest

from mxlab import dns, send
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep
from mxlab.model.topology import NameServer, Submitters, Topology
from mxlab.scenario.describe import story

LAB = Topology(submission=Submitters({"al": "x"}), dns=(NameServer("ns1"), NameServer("ns2")))
GOES = "One message goes from alice@client.test to bob@example.test (a)."


def handed_in(**how: object) -> AnyStep:
    return send("a", to="bob@example.test", submission=how)


@pytest.mark.parametrize(
    ("step", "words"),
    [
        (send("a", to="bob@example.test"), GOES),
        (handed_in(user="al"), f"{GOES} A program hands it in on port 587 as al."),
        (
            handed_in(user="al", password="y", refused=535),
            f"{GOES} A program hands it in on port 587 as al with a password of its own; it is to "
            "be refused with 535.",
        ),
        (
            handed_in(tls=False, refused="5xx"),
            f"{GOES} A program hands it in on port 587 without saying who it is, without TLS; it "
            "is to be refused with 5xx.",
        ),
        (
            handed_in(user="al", port=465, tries=3),
            f"{GOES} A program hands it in on port 465 as al, at most 3 times, 5s apart.",
        ),
        (dns(remove=["@ MX"]), "The zone of the domain changes: '@ MX' goes."),
        (
            dns(origin="test", server="ns2", add=["x A 10.0.0.1"]),
            "The zone test changes at ns2: 'x A 10.0.0.1' comes.",
        ),
    ],
)
def test_a_step_in_words(step: AnyStep, words: str) -> None:
    told = story(Scenario(title="t", steps=(step,), topology=LAB, expect=("nothing-lost",)))
    assert words in "\n".join(told)
