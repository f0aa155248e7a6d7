"""Scenarios of a job; together they pass every point."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import combinations
from typing import Any

GOOD = '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}\n' * 3
BAD = GOOD + "not json\n"


def keyed(name: str, count: int) -> str:
    """Lines that differ: each has a key, which its text and its column repeat."""
    lines = []
    for n in range(1, count + 1):
        key = f"{name}-{n}"
        contents = [{"role": "user", "parts": [{"text": f"say {key}"}]}]
        line = {"key": key, "request": {"contents": contents}, "customer": key}
        lines.append(json.dumps(line) + "\n")
    return "".join(lines)


MANIFEST = json.dumps({"config": {"labels": {"spoken": "for"}}})
INLINE = json.dumps({"src": [json.loads(line) for line in GOOD.splitlines()]})

Rule = Mapping[str, Any]
#: What a route chooses for a scenario's drop, by the folder that it comes into.
TRAITS = {
    "impatient": "stalled_after = 1.5\ndelete_after = 0.5",
    "collected": ('results = "on"\non_invalid = "skip"\nretry = 2\nretry_share = 1'),
    "parts": "part_rows = 2",
    "required": 'manifest = "required"',
}
#: The same, where a deployment has both backends.
ELSEWHERE = {"elsewhere": 'backend = "developer"'}
#: Ends of a job; a later one prevails.
ENDS = ("succeeded", "cancelled", "rejected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """
    A drop and what happens around it. Two can be laid over each other with `|`.

    `faults` are batchsim's rules; those of requests strike only this drop's. As long
    as the API has made fewer than `hidden` batches of the drop, no list shows
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
    traits: frozenset[str] = frozenset()  #: what its route chooses, see `TRAITS`
    suffix: str = ".jsonl"
    beside: str = ""  #: the manifest that is dropped after it
    track: str = ""  #: the settings that it needs, see `track.DEPLOYMENTS`
    lingers: bool = False  #: there is more to do when the job is over
    asks: str = ""  #: rows of this outcome go again on purpose, once all is published
    #: The points that this is the shortest way to.
    reaches: frozenset[str] = field(default=frozenset(), compare=False)

    def __or__(self, other: "Scenario") -> "Scenario":
        if self == other:
            return self
        worse = max(self, other, key=lambda one: ENDS.index(one.end))
        hidden = max(self.hidden, other.hidden)
        return replace(
            worse,
            name=f"{self.name}+{other.name}",
            # The drop itself must not become plain: a file whose route demands a
            # manifest would wait in vain, and a manifest would be sent as a file.
            text=_special(worse.text, self.text, other.text, plain=GOOD),
            suffix=_special(self.suffix, other.suffix, plain=".jsonl"),
            beside=_special(self.beside, other.beside, plain=""),
            kills=self.kills + other.kills,
            faults=_in_turn(self.faults + other.faults, hidden),
            hidden=hidden,
            run_seconds=max(self.run_seconds, other.run_seconds),
            # Of a file that is rejected nothing else can become.
            also=() if worse.end == "rejected" else self.also + other.also,
            traits=self.traits | other.traits,
            track=self.track or other.track,
            lingers=worse.lingers,
            asks=_special(self.asks, other.asks, plain=""),
        )

    @property
    def has_extra(self) -> bool:
        """Whether a job gets more batches than the one that it adopts."""
        return self.hidden > 1 and "parts" not in self.traits

    @property
    def folder(self) -> str:
        """Where in the inbox it is dropped."""
        return "".join(f"{trait}/" for trait in sorted(self.traits))


def _in_turn(faults: tuple[Rule, ...], batches: int) -> tuple[Rule, ...]:
    """
    The faults, with as many lost replies as it takes for a job to get this many
    batches: a create request that also fails in another way makes none.
    """
    creates = [one for one in faults if one.get("op") == "create"]
    failing = sum(
        one.get("count", 1) for one in creates if one["fault"] != "drop_reply"
    )
    least = failing + batches - 1
    return tuple(
        {**one, "count": max(one["count"], least)}
        if one["fault"] == "drop_reply" and one.get("op") == "create"
        else one
        for one in faults
    )


def _special(*values: str, plain: str) -> str:
    """The first value that differs from the plain one, if any does."""
    return next((value for value in values if value != plain), plain)


def routes(traits: Mapping[str, str]) -> str:
    """A file of routes: one for each folder of `Scenario.folder`, deepest first."""
    tables = []
    for count in range(len(traits), 0, -1):
        for some in combinations(sorted(traits), count):
            choices = "\n".join(traits[trait] for trait in some)
            tables.append(f'[[route]]\nmatch = "{"/".join(some)}/**"\n{choices}\n')
    return "\n".join(tables)


def at_create(fault: str, count: int = 1, **params: Any) -> Rule:
    return {"fault": fault, "op": "create", "count": count, **params}


PLAIN = Scenario(
    name="plain",
    reaches=frozenset(
        {
            "after_claim",
            "after_recording",
            "after_staging",
            "after_handing_over",
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
                "after_search",
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
        reaches=frozenset({"after_cancelling_duplicate"}),
    ),
    Scenario(
        name="two_made_and_one_left",
        faults=(at_create("drop_reply", count=2),),
        kills=("after_submitted",),
        hidden=2,
        run_seconds=12,
        reaches=frozenset({"after_finding_duplicate", "after_cancelling_found"}),
    ),
    Scenario(
        name="one_more_turns_up",
        faults=(at_create("drop_reply"),),
        hidden=2,
        run_seconds=12,
        reaches=frozenset({"after_recording_duplicates"}),
    ),
    Scenario(
        name="too_slow",
        end="cancelled",
        run_seconds=30,
        also=("stalled",),
        traits=frozenset({"impatient"}),
        lingers=True,
        reaches=frozenset({"after_stalled", "after_cancel", "after_delete"}),
    ),
    Scenario(
        name="in_parts",
        traits=frozenset({"parts"}),
        reaches=frozenset({"after_first_part", "after_part", "after_split"}),
    ),
)
IN_PARTS = SCENARIOS[-1]
#: A file whose rows get results; the last line is left out.
COLLECTED = replace(
    PLAIN,
    name="collected",
    text=keyed("row", 3) + "not json\n",
    traits=frozenset({"collected"}),
    reaches=frozenset(
        {
            "collect_woken",
            "collect_taken",
            "collect_copied",
            "collect_delivered",
            "collect_frozen",
            "collect_stepped",
            "collect_merged",
            "collect_written",
            "collect_collected",
            "collect_announcing",
        }
    ),
)
#: The same in parts: their results become one object.
COLLECTED_IN_PARTS = replace(
    COLLECTED,
    name="collected_in_parts",
    traits=frozenset({"collected", "parts"}),
    reaches=frozenset(
        {
            "collect_parts_counted",
            "collect_indexed",
            "collect_parts_written",
            "collect_composed",
            "collect_tidied",
        }
    ),
)
#: The same in one batch, whose answers are taken for too many for one step.
COLLECTED_IN_STEPS = replace(
    COLLECTED,
    name="collected_in_steps",
    track="steps",
    reaches=frozenset(
        {
            "collect_sorted",
            "collect_planned",
            "collect_ranged",
            "collect_published",
        }
    ),
)
#: A file one of whose rows fails for a passing reason, and goes again.
HEALED = replace(
    COLLECTED,
    name="healed",
    faults=({"fault": "row_failed", "count": 1, "match": {"row_text": "say row-2"}},),
    reaches=frozenset(
        {
            "collect_turned",
            "round_recorded",
            "round_staged",
            "round_prepared",
            "round_told",
            "collect_healed",
            "collect_heal_written",
        }
    ),
)
#: A file in parts, of which rows are sent again because a person asks for it.
RETRIED = replace(
    COLLECTED_IN_PARTS,
    name="retried",
    faults=({**HEALED.faults[0], "code": 400},),
    asks="failed",
    reaches=frozenset(
        {"collect_rows_chosen", "collect_parts_needed", "collect_parts_asked"}
    ),
)
#: A file and its manifest, dropped at the same time; one that waits for its manifest;
#: and a manifest that is a job.
ACCOMPANIED = replace(PLAIN, name="accompanied", beside=MANIFEST)
AWAITED = replace(
    ACCOMPANIED,
    name="awaited",
    traits=frozenset({"required"}),
    reaches=frozenset({"after_reading_anew", "after_attached"}),
)
INLINED = replace(PLAIN, name="inlined", text=INLINE, suffix=".job.json")
#: A file that goes to the other backend, in parts.
ELSEWHERE_IN_PARTS = replace(
    IN_PARTS,
    name="elsewhere_in_parts",
    traits=frozenset({"elsewhere", "parts"}),
    track="both",
)
#: Jobs that are made in other ways, and the points where a death does most harm.
FENCED = next(one for one in SCENARIOS if one.name == "nothing_made")
OTHERS = {
    "vertex": (
        (IN_PARTS, ("after_create",)),
        (IN_PARTS | FENCED, ("after_restaging", "after_fence_delete")),
        (ELSEWHERE_IN_PARTS, ("before_create",)),
        (INLINED, ("after_staging",)),
        (ACCOMPANIED, ("after_claim", "after_prepared")),
        (AWAITED, ("after_resumed",)),
    ),
    "developer": ((IN_PARTS, ("after_create",)),),
}


def ways_to(point: str) -> list[Scenario]:
    """
    Scenarios in which a job is known to pass the point. If there are none, all
    scenarios that need no settings of their own.
    """
    every = (
        *SCENARIOS,
        COLLECTED,
        COLLECTED_IN_PARTS,
        COLLECTED_IN_STEPS,
        HEALED,
        RETRIED,
        AWAITED,
    )
    known = [one for one in every if point in one.reaches]
    return known or [one for one in SCENARIOS if not one.track]
