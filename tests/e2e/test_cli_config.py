"""Settings of a lab of local processes: shown, changed, felt by mail, kept over a restart."""

from collections.abc import Iterator

import pytest

from tests.support.command import Lab

TOPOLOGY = """
timeouts: {base: rfc, connect: 2s}
limits: {message_size: 5000}
mx:
  - {host: mx1, preference: 10, limits: {recipients: 100}, timeouts: postfix}
  - {host: mx2, preference: 20}
tls: true
submission: {users: {alice: open-sesame}}
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab that is up; each test leaves it as it was."""
    folder = tmp_path_factory.mktemp("config")
    (folder / "lab.yaml").write_text(TOPOLOGY)
    made = Lab(folder)
    made("up", "--topology", str(folder / "lab.yaml"))
    yield made
    made("down")


def test_settings_are_shown_as_the_topology_has_them(lab: Lab) -> None:
    lines = lab("config", "mx1").splitlines()
    assert "timeouts.connect = 30" in lines
    assert "limits.message_size = 5000" in lines
    assert "limits.recipients = 100" in lines
    assert "recipients = null" in lines
    assert lab("config", "mx2", "limits.recipients", "timeouts.connect", "timeouts.dot") == (
        "limits.recipients = 1000\ntimeouts.connect = 2\ntimeouts.dot = 600\n"
    )
    different = lab("config", "client", "-n")
    assert "limits.message_size = 5000" in different
    assert "limits.hops" not in different
    assert "zones = " in lab("config", "dns")


def test_no_secret_is_shown(lab: Lab) -> None:
    for node in ("mx1", "client"):
        shown = lab("config", node) + str(lab.json("config", node))
        assert "(not shown)" in shown
        assert "BEGIN" not in shown
        assert "sesame" not in shown
    assert lab("config", "client", "submission.users") == "submission.users = alice\n"


def test_a_change_is_felt_told_and_kept(lab: Lab) -> None:
    assert lab("config", "mx1", "limits.message_size=1000", "timeouts.greeting=1m") == (
        "timeouts.greeting = 60 (was 300)\nlimits.message_size = 1000 (was 5000)\n"
    )
    lab("send", "--to", "bob@example.test", "--size", "3000", "--wait", code=1)
    lab("kill", "mx1")
    lab("start", "mx1")
    assert "1000" in lab("config", "mx1", "limits.message_size")
    assert "another setting: limits.message_size = 1000, was 5000" in lab("logs", "mx1")
    assert lab.json("config", "mx1", "--reset", "limits.message_size") == [
        {"key": "limits.message_size", "value": 5000, "was": 1000}
    ]
    assert lab("config", "mx1", "--reset") == "timeouts.greeting = 300 (was 60)\n"
    assert lab("config", "mx1", "--reset") == "nothing was changed\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("mx9",), "no node is called 'mx9'"),
        (("mx1", "limits.mesage_size=1"), "did you mean 'limits.message_size'"),
        (("mx1", "limits.mesage_size"), "did you mean 'limits.message_size'"),
        (("mx1", "--reset", "limits.mesage_size"), "did you mean 'limits.message_size'"),
        (("mx1", "limits.message_size=0"), "a whole number, 1 or more"),
        (("mx1", "limits.message_size=lots"), "a whole number, 1 or more"),
        (("mx1", "timeouts.dot=soon"), "it may be a duration"),
        (("mx1", "retry.jitter=2"), "a share, 0 to 1"),
        (("mx1", "retry.schedule=postfx"), "did you mean 'postfix'"),
        (("mx1", "recipients=bob"), "no mail address"),
        (("mx1", "hostname=mx9.test"), "when the lab comes up"),
        (("mx1", "--reset", "tls.key"), "tls: true"),
        (("dns", "zones=x"), "mxlab zone"),
        (("mx1", "limits.hops=5", "limits.errors"), "not both at once"),
        (("mx1", "limits.hops=5", "limits.hops=6"), "twice"),
        (("mx1", "limits.hops=5", "limits.errors=0"), "a whole number, 1 or more"),
    ],
)
def test_what_cannot_be_is_said_and_nothing_changes(
    lab: Lab, words: tuple[str, ...], said: str
) -> None:
    assert said in lab.run("config", *words, code=2).stderr.replace("\n       ", " ")
    assert lab("config", "mx1", "--reset") == "nothing was changed\n"
