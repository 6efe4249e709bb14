"""A node's settings: listed without secrets, changed while it runs, kept over its restart."""

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab.errors import Refused
from mxlab_services import events
from mxlab_services.config import PATIENCE, MxConfig, SubmissionConfig, Timeouts, TlsConfig
from mxlab_services.control.replies import Setting
from mxlab_services.control.requests import ConfigChange, ConfigList
from mxlab_services.errors import ConfigError
from mxlab_services.settings import changeable, changed, settings
from tests.support.stories import happened, in_lab, send, until

CONFIG = MxConfig(
    node="mx1",
    address="10.0.0.1",
    hostname="mx1.example.test",
    dns="10.0.0.3",
    networks=["10.0.0.0/24"],
    tls=TlsConfig("-----BEGIN CERTIFICATE-----", "deep secret", "-----BEGIN CERTIFICATE-----"),
    submission=SubmissionConfig(
        {"alice": "open sesame"}, TlsConfig("-----BEGIN X-----", "deep secret", "-----BEGIN X-----")
    ),
)


def by_key(found: list[Setting]) -> dict[str, Setting]:
    return {setting.key: setting for setting in found}


def test_the_sets_of_timeouts_are_what_their_sources_say() -> None:
    assert PATIENCE["workshop"] == Timeouts()
    rfc, postfix = PATIENCE["rfc"], PATIENCE["postfix"]
    assert (rfc.greeting, rfc.mail, rfc.rcpt, rfc.data, rfc.block, rfc.dot, rfc.idle) == (
        300, 300, 300, 120, 180, 600, 300,
    )  # fmt: skip
    assert (postfix.connect, postfix.helo, postfix.data, postfix.block, postfix.dot) == (
        30, 300, 120, 180, 600,
    )  # fmt: skip


def test_every_setting_is_listed_with_its_default_and_no_secret() -> None:
    found = by_key(settings(CONFIG))
    assert found["timeouts.greeting"] == Setting("timeouts.greeting", 3.0, 3.0)
    assert found["retry.lifetime"] == Setting("retry.lifetime", None, None)
    assert found["submission.users"].value == ["alice"]
    assert found["hostname"].differs
    assert not found["limits.hops"].differs
    text = str(found)
    assert "sesame" not in text
    assert "secret" not in text
    assert "BEGIN" not in text
    fixed = {key for key, setting in found.items() if not setting.fixed}
    assert fixed == set(changeable())
    assert "tls: true" in found["tls.key"].fixed


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        ("limits.hops", 0, "`int` >= 1"),
        ("limits.hops", "many", "expected `int`"),
        ("timeouts.dot", -1, "`float` > 0"),
        ("retry.jitter", 2, "`float` <= 1"),
        ("recipients", ["nobody"], "is no mail address"),
        ("limit.hops", 1, "no setting that can be changed is called 'limit.hops'"),
        ("hostname", "mx9", "no setting that can be changed"),
    ],
)
def test_what_cannot_be_is_refused_by_its_key(key: str, value: object, problem: str) -> None:
    with pytest.raises(ConfigError, match=r"setting|`") as raised:
        changed(CONFIG, {key: value})
    assert problem in str(raised.value)
    assert key in str(raised.value)


def test_a_change_holds_at_once_is_told_and_survives_a_kill() -> None:
    async def story(lab: SimLab) -> None:
        mx1 = lab.nodes["mx1"]
        wanted = {"limits.message_size": 1000, "retry.schedule": "exim"}
        told = await mx1.request(ConfigChange(wanted))
        assert [(s.key, s.value, s.differs) for s in told] == [
            ("limits.message_size", 1000, True), ("retry.schedule", "exim", True),
        ]  # fmt: skip
        assert await happened(lab, "mx1", events.ConfigChanged) == [
            events.ConfigChanged("limits.message_size", "10485760", "1000"),
            events.ConfigChanged("retry.schedule", '"workshop"', '"exim"'),
        ]
        await send(lab, size=5000)
        refused = await until(lab, "client", events.Outcome)
        assert isinstance(refused.body, events.Outcome)
        assert "1000" in refused.body.reply
        await mx1.kill()
        await mx1.start()
        assert by_key(await mx1.request(ConfigList()))["limits.message_size"].value == 1000
        await mx1.request(ConfigChange(reset=["limits.message_size", "retry.schedule"]))
        await mx1.stop()
        await mx1.start()
        found = by_key(await mx1.request(ConfigList()))
        assert found["limits.message_size"].value == 10 * 1024 * 1024
        assert found["retry.schedule"].value == "workshop"

    in_lab(story)


def test_of_several_changes_all_are_made_or_none() -> None:
    async def story(lab: SimLab) -> None:
        mx1 = lab.nodes["mx1"]
        for values in (
            {"limits.message_size": 1000, "limits.hops": 0},
            {"limits.message_size": 1000, "retry.schedule": "sendmail"},
            {"limits.message_size": 1000, "hostname": "mx9"},
            {"limits.message_size": 1000, "nothing": 1},
        ):
            with pytest.raises(Refused):
                await mx1.request(ConfigChange(values))
        with pytest.raises(Refused, match=r"hostname.*when the lab comes up"):
            await mx1.request(ConfigChange({"hostname": "mx9"}))
        with pytest.raises(Refused, match="mxlab zone"):
            await lab.nodes["dns"].request(ConfigChange({"zones": []}))
        assert by_key(await mx1.request(ConfigList()))["limits.message_size"].value != 1000
        assert not await happened(lab, "mx1", events.ConfigChanged)

    in_lab(story)


def test_recipients_and_patience_change_while_the_node_runs() -> None:
    async def story(lab: SimLab) -> None:
        await lab.nodes["mx1"].request(ConfigChange({"recipients": ["carol@example.test"]}))
        await send(lab)  # to bob
        bounced = await until(lab, "client", events.Outcome)
        assert isinstance(bounced.body, events.Outcome)
        assert "no such user" in bounced.body.reply
        await lab.nodes["mx1"].pause()
        await lab.nodes["client"].request(ConfigChange({"timeouts.greeting": 60}))
        await send(lab, "carol@example.test")
        tried = await until(lab, "client", events.Tried, 2)
        assert isinstance(tried.body, events.Tried)
        assert tried.body.seconds == pytest.approx(60, abs=1)

    in_lab(story)


def test_concurrency_is_granted_and_taken_at_once() -> None:
    async def story(lab: SimLab) -> None:
        client = lab.nodes["client"]
        await client.request(ConfigChange({"limits.destination_concurrency": 1}))
        await send(lab, count=8)
        await until(lab, "mx1", events.MailboxDelivered, 8)
        tries = await happened(lab, "client", events.Tried)
        opened = [tried for tried in tries if not tried.dialog[0].startswith("C: <kept")]
        assert len(opened) == 1

    in_lab(story)
