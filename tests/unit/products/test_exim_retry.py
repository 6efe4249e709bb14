"""When Exim tries again, from what `exim_dumpdb` of Exim 4.96 wrote."""

from calendar import timegm

import pytest

from mxlab_services.products.base import Held
from mxlab_services.products.exim_retry import due_by_key, hosts_by_message, next_attempt

ONE, TWO = "1xX8pc-00000M-2I", "1xX8pj-00000P-2Q"
HOST = (
    "  T:mx1.example.test:10.83.4.3 110 333 Connection timed out\n"
    "28-Nov-2026 03:10:33  28-Nov-2026 03:10:33  28-Nov-2026 03:25:33 \n"
)
HOST_BY_IPV6 = (
    "  T:mx1.example.test:fd00::3 113 77 No route to host\n"
    "28-Nov-2026 03:10:33  28-Nov-2026 03:10:33  28-Nov-2026 03:21:00 \n"
)
MESSAGE = (
    f"  T:mx1.example.test:10.83.4.3:{ONE} -45 13133 H=mx1.example.test [10.83.4.3]: SMTP error "
    "from remote mail server after pipelined MAIL FROM:<alice@client.test> SIZE=1548: 451 4.0.0\n"
    "28-Nov-2026 03:12:21  28-Nov-2026 03:12:21  28-Nov-2026 03:27:21 *\n"
)
ADDRESS = (
    "  R:bob@example.test:<alice@client.test> -44 12877 H=mx1.example.test [10.83.4.3]: SMTP error "
    "after RCPT TO:<bob@example.test>: 450-4.0.0 one line\n450 4.0.0 and another\n"
    "28-Nov-2026 03:12:09  28-Nov-2026 03:12:09  28-Nov-2026 03:30:00 \n"
)
DOMAIN = (
    "  R:example.test -1 0 host lookup did not complete\n"
    "28-Nov-2026 03:12:09  28-Nov-2026 03:12:09  28-Nov-2026 03:40:00 \n"
)
OTHER = (
    f"  T:backup-server-mx.example.test:10.83.4.9:{TWO} 111 77 Connection refused\n"
    "28-Nov-2026 03:10:33  28-Nov-2026 03:10:33  28-Nov-2026 09:00:00 \n"
)


def held(*recipients: str, sender: str = "alice@client.test") -> Held:
    reasons = dict.fromkeys(recipients or ("bob@example.test",), "why")
    return Held(ONE, "deferred", sender, 500, 0.0, reasons)


def at(hour: int, minute: int, second: int = 0) -> float:
    return timegm((2026, 11, 28, hour, minute, second))


@pytest.mark.parametrize(
    ("dumped", "hosts", "expected"),
    [
        (HOST, {"mx1.example.test"}, at(3, 25, 33)),
        (HOST + HOST_BY_IPV6, {"mx1.example.test"}, at(3, 21)),  # one of its addresses will do
        (HOST + MESSAGE, {"mx1.example.test"}, at(3, 27, 21)),  # host and message
        (MESSAGE, {"mx1.example.test"}, at(3, 27, 21)),
        (HOST + ADDRESS, {"mx1.example.test"}, at(3, 30)),
        (ADDRESS, {"mx1.example.test"}, at(3, 30)),
        (ADDRESS, (), at(3, 30)),
        (DOMAIN + ADDRESS, (), at(3, 40)),
        (HOST, {"mx1.example.test", "mx3.example.test"}, None),  # mx3 may be tried at any time
        (OTHER, {"backup-server-mx.example.test"}, None),  # another message's
        (HOST, (), None),  # it waits for no such host
        ("", {"mx1.example.test"}, None),
    ],
)
def test_when_a_message_is_due(dumped: str, hosts: set[str], expected: float | None) -> None:
    assert next_attempt(held(), due_by_key(dumped), hosts) == expected


def test_the_recipient_that_is_due_first_counts() -> None:
    both = held("carol@example.test", "Bob@Example.test")
    assert next_attempt(both, due_by_key(HOST + ADDRESS), {"mx1.example.test"}) == at(3, 25, 33)


def test_an_address_is_tried_for_another_sender() -> None:
    other = held(sender="eve@client.test")
    assert next_attempt(other, due_by_key(ADDRESS), ()) is None


def test_who_waits_for_which_host() -> None:
    dumped = (
        f"mx1.example.test {ONE} {TWO} \n"
        "mx1.example.test:0 1xX8pk-00000Q-0R \n"
        f"mx3.example.test {ONE}\n"
    )
    assert hosts_by_message(dumped) == {
        ONE: {"mx1.example.test", "mx3.example.test"},
        TWO: {"mx1.example.test"},
        "1xX8pk-00000Q-0R": {"mx1.example.test"},
    }
