"""Ways for a job to go, so that between them every point is passed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

GOOD = '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}\n' * 3
BAD = GOOD + "not json\n"

Rule = Mapping[str, Any]
#: Ends of a job; a later one prevails.
ENDS = ("succeeded", "cancelled", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    A drop and what happens around it. Two can be laid over each other with `|`.

    `faults` are batchsim's rules; those of requests strike only this drop's. As long
    as the service has made fewer than `hidden` batches of the drop, no list shows
    any: that is further than a list may lag.
    """

    name: str
    text: str = GOOD
    end: str = "succeeded"  #: how its announcement calls the end
    kills: tuple[str, ...] = ()
    faults: tuple[Rule, ...] = ()
    hidden: int = 0
    run_seconds: float = 0.2
    also: tuple[str, ...] = ()  #: what else is announced of it
    lane: str = ""  #: the settings that it needs, see `lane.DEPLOYMENTS`
    lingers: bool = False  #: there is more to do when the job is over
    #: The points that this is the shortest way to.
    reaches: frozenset[str] = field(default=frozenset(), compare=False)

    def __or__(self, other: "Scenario") -> "Scenario":
        if self == other:
            return self
        worse = max(self, other, key=lambda one: ENDS.index(one.end))
        return replace(
            worse,
            name=f"{self.name}+{other.name}",
            kills=self.kills + other.kills,
            faults=self.faults + other.faults,
            hidden=max(self.hidden, other.hidden),
            run_seconds=max(self.run_seconds, other.run_seconds),
            # Of a file that is rejected nothing else can become.
            also=() if worse.end == "rejected" else self.also + other.also,
            lane=self.lane or other.lane,
            lingers=worse.lingers,
        )


def at_create(fault: str, count: int = 1, **params: Any) -> Rule:
    return {"fault": fault, "op": "create", "count": count, **params}


PLAIN = Scenario(
    name="plain",
    reaches=frozenset(
        {
            "after_claim",
            "after_staging",
            "after_handing_over",
            "after_collecting",
            "after_prepared",
            "after_intent",
            "before_create",
            "after_create",
            "after_submitted",
            "after_lock",
            "after_ended",
            "after_publish",
            "after_published",
        }
    ),
)
SCENARIOS = (
    PLAIN,
    Scenario(
        name="long_enough_to_be_seen",
        run_seconds=2,
        reaches=frozenset({"after_observed"}),
    ),
    Scenario(
        name="bad_rows",
        text=BAD,
        end="rejected",
        reaches=frozenset({"after_rejected"}),
    ),
    Scenario(
        name="reply_lost",
        faults=(at_create("drop_reply"),),
        reaches=frozenset({"after_failed_create"}),
    ),
    Scenario(
        name="nothing_made",
        faults=(at_create("unavailable"),),
        reaches=frozenset(
            {
                "after_resumed",
                "after_look",
                "after_copying",
                "after_restaging",
                "after_fence_delete",
                "after_fence",
            }
        ),
    ),
    Scenario(
        name="two_made",
        faults=(at_create("drop_reply", count=2),),
        hidden=2,
        run_seconds=6,
        reaches=frozenset({"after_cancelling_extra"}),
    ),
    Scenario(
        name="two_made_and_one_left",
        faults=(at_create("drop_reply", count=2),),
        kills=("after_submitted",),
        hidden=2,
        run_seconds=12,
        reaches=frozenset({"after_cancelling_found"}),
    ),
    Scenario(
        name="too_slow",
        end="cancelled",
        run_seconds=30,
        also=("stalled",),
        lane="impatient",
        lingers=True,
        reaches=frozenset({"after_stalled", "after_cancel", "after_delete"}),
    ),
)


def ways_to(point: str) -> list[Scenario]:
    """
    Scenarios in which a job passes the point, as far as is known, else all of those
    that need no settings of their own.
    """
    known = [one for one in SCENARIOS if point in one.reaches]
    return known or [one for one in SCENARIOS if not one.lane]
