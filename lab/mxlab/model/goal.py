"""What a task of an exercise may ask of a lab as it is now, beside the conditions of scenarios.

Declared as those are (see `condition`); how each is judged stands in `learn.goals`.
"""

import typing
from typing import Annotated, Literal

import msgspec

from mxlab.model.condition import CONDITIONS, AnyCondition, Condition
from mxlab.model.reference import FaultId
from mxlab.model.topology import Host, MailHost, NameServerHost, ZoneName

RecordType = Annotated[str, msgspec.Meta(pattern="^[A-Z][A-Z0-9-]{0,11}$")]
SettingText = str | int | float | bool | tuple[str, ...]


class HostState(Condition, frozen=True, rename={"is_": "is"}):
    """The node `host` is running, paused or stopped now."""

    key = "state"
    host: Host
    is_: Literal["running", "paused", "stopped"]

    def __str__(self) -> str:
        return f"{self.host} is {self.is_}"


class ZoneRecord(Condition, frozen=True, rename={"ttl_most": "ttl-at-most"}):
    """The zone that holds `name` has records of that `type` there, as a name server serves it now:
    one whose data is `has`, none whose data is `lacks`, or just `count` of them; with none of the
    three, any. With `ttl-at-most` only records count whose TTL (seconds) is no more. Data is
    compared as zone text, names with or without the last dot. `server`: asked of that name server,
    else of the zone's primary."""

    key = "record"
    name: ZoneName
    type: RecordType
    has: str | None = None
    lacks: str | None = None
    count: Annotated[int, msgspec.Meta(ge=0)] | None = None
    ttl_most: Annotated[int, msgspec.Meta(ge=0)] | None = None
    server: NameServerHost | None = None

    def misfit(self) -> str:
        given = [one for one in (self.has, self.lacks, self.count) if one is not None]
        return "of `has`, `lacks` and `count` a record has one at most" if len(given) > 1 else ""

    def __str__(self) -> str:
        at = f"{self.name} {self.type}" + (f" at {self.server}" if self.server else "")
        at += f" with a TTL of at most {self.ttl_most}" if self.ttl_most is not None else ""
        if self.lacks is not None:
            return f"there is no {at} {self.lacks}"
        if self.count is not None:
            return f"there are {self.count} records {at}"
        return f"there is {at} {self.has or ''}".rstrip()


class HasSetting(
    Condition, frozen=True, rename={"is_": "is", "name": "key", "at_least": "at-least"}
):
    """The setting `key` of the running node `host` is that value, or `at-least` it: as
    `mxlab config` shows it."""

    key = "setting"
    host: MailHost
    name: str
    is_: SettingText | None = None
    at_least: SettingText | None = None

    def misfit(self) -> str:
        both = (self.is_ is None) == (self.at_least is None)
        return "a setting condition has either `is` or `at-least`" if both else ""

    def __str__(self) -> str:
        wanted = f"is {self.is_}" if self.is_ is not None else f"is at least {self.at_least}"
        return f"{self.name} of {self.host} {wanted}"


class Undone(Condition, frozen=True):
    """The fault with that id is not in force any more."""

    key = "healed"
    short = "fault"
    fault: FaultId

    def __str__(self) -> str:
        return f"{self.fault} is healed"


Act = Literal["flush", "hold", "release", "requeue", "delete", "expire", "config", "start", "zone"]


class Acted(Condition, frozen=True):
    """Since the task began an operator did that at `host`: a flush or an edit of its queue, a
    change of its settings, a start of the node, a change of its zone."""

    key = "did"
    host: Host
    act: Act

    def __str__(self) -> str:
        return f"{self.act} at {self.host}"


AnyGoal = AnyCondition | HostState | ZoneRecord | HasSetting | Undone | Acted
OWN_GOALS: dict[str, type[HostState | ZoneRecord | HasSetting | Undone | Acted]] = {
    kind.key: kind for kind in (HostState, ZoneRecord, HasSetting, Undone, Acted)
}
GOALS: dict[str, type[AnyGoal]] = {**CONDITIONS, **OWN_GOALS}
assert set(GOALS.values()) == set(typing.get_args(AnyGoal))


class Wish(msgspec.Struct, frozen=True):
    """A goal that shall hold, or, `negated`, shall not."""

    goal: AnyGoal
    negated: bool = False

    def __str__(self) -> str:
        return f"not: {self.goal}" if self.negated else str(self.goal)


Wishes = tuple[Wish, ...]  # all of them
