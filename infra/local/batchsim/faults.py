"""
Faults by rule: what fails, at which operation, for which jobs, how often.

A rule names a fault of the catalogue, and may limit it:

    op            create, get, list, cancel, delete, upload, file, download (default:
                  any); only for faults of requests
    match         model, display_name (with * as a wildcard), label ("key",
                  "key=value" or {"key": "value"}), row_text (a part of the line)
    probability   how likely the fault is, by a seeded random number
    count         how many times it happens at most

Other members are the fault's own parameters, which the catalogue lists.
"""

import itertools
import random
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any

from batchsim.models import fingerprint
from batchsim.wire import invalid

OPS = ("create", "get", "list", "cancel", "delete", "upload", "file", "download")


class Stage(StrEnum):
    """What a fault happens to."""

    REQUEST = "request"
    JOB = "job"
    LIST = "list"
    OUTPUT = "output"
    ROW = "row"


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault. `takes` has its parameters with their defaults."""

    stage: Stage
    does: str
    takes: Mapping[str, Any] = field(default_factory=dict)


_R, _J, _L = Stage.REQUEST, Stage.JOB, Stage.LIST
_O, _W = Stage.OUTPUT, Stage.ROW

CATALOGUE: dict[str, Fault] = {
    "drop_reply": Fault(_R, "do what is asked, then hang up without an answer"),
    "reset": Fault(_R, "reset the connection; nothing is done"),
    "slow": Fault(_R, "wait for `seconds` real seconds first", {"seconds": 5.0}),
    "rate_limited": Fault(_R, "answer 429", {"retry_after": None}),
    "internal": Fault(_R, "answer 500"),
    "unavailable": Fault(_R, "answer 503", {"retry_after": None}),
    "http_error": Fault(
        _R,
        "answer with this HTTP status",
        {"code": 500, "message": "Injected fault.", "retry_after": None},
    ),
    "stuck_pending": Fault(
        _J, "stay PENDING until the queue's limit, or for ever", {"for_ever": False}
    ),
    "stuck_running": Fault(
        _J, "stay RUNNING until the time limit, or for ever", {"for_ever": False}
    ),
    "failed": Fault(
        _J,
        "end FAILED with a gRPC code, after this share of the rows (0: no output)",
        {"code": 13, "message": "Internal error encountered.", "rows": 0.0},
    ),
    "expired": Fault(_J, "end EXPIRED, after this share of the rows", {"rows": 0.0}),
    "partially_succeeded": Fault(
        _J, "end PARTIALLY_SUCCEEDED, after this share of the rows", {"rows": 0.5}
    ),
    "paused": Fault(
        _J,
        "be PAUSED for a time, or for ever, then RUNNING again",
        {"seconds": 600.0, "for_ever": False},
    ),
    "updating": Fault(
        _J,
        "be UPDATING for a time, or for ever, then RUNNING again",
        {"seconds": 600.0, "for_ever": False},
    ),
    "unknown_state": Fault(
        _J,
        "be in an unknown state for a time, or for ever, then RUNNING again",
        {"state": "HIBERNATING", "seconds": 600.0, "for_ever": False},
    ),
    "cancelling": Fault(
        _J,
        "once cancelled, be CANCELLING for a time, or for ever, then `then`: "
        "CANCELLED, SUCCEEDED or FAILED",
        {"seconds": 600.0, "then": "CANCELLED", "for_ever": False},
    ),
    "export_failed": Fault(
        _J, "end FAILED with code 7: counts and a directory, but no file in it"
    ),
    "output_late": Fault(
        _J,
        "succeed, partly or in full, but name its output only later, or never",
        {"seconds": 60.0, "for_ever": False},
    ),
    "vanished": Fault(_J, "answer 404 by name, and be in no list"),
    "list_truncated": Fault(
        _L, "end the list early, without a token, after `keep` jobs", {"keep": 0}
    ),
    "list_stale": Fault(
        _L, "show jobs as they were `seconds` ago", {"seconds": 3600.0}
    ),
    "list_lagging": Fault(_L, "leave out jobs younger than this", {"seconds": 60.0}),
    "list_out_of_order": Fault(_L, "shuffle each page"),
    "list_empty_page": Fault(
        _L,
        "give an empty page with a token before a page: first, middle or every",
        {"where": "every"},
    ),
    "output_in_order": Fault(_O, "keep the input's order"),
    "output_shuffled": Fault(_O, "shuffle the answers, also where they'd be in order"),
    "output_sharded": Fault(_O, "write several files", {"shards": 3}),
    "rows_missing": Fault(_O, "leave out `rows` answers", {"rows": 1}),
    "rows_doubled": Fault(_O, "give `rows` answers twice", {"rows": 1}),
    "rows_foreign": Fault(_O, "add `rows` answers that belong to no row", {"rows": 1}),
    "rows_without_key": Fault(_O, "drop the key of `rows` answers", {"rows": 1}),
    "output_torn": Fault(_O, "end the file in the middle of its last line"),
    "row_failed": Fault(
        _W,
        "fail the row with an HTTP status",
        {"code": 500, "message": "Internal error encountered."},
    ),
    "row_blocked": Fault(_W, "block the prompt", {"reason": "PROHIBITED_CONTENT"}),
    "row_max_tokens": Fault(
        _W, "cut the answer off, finish reason MAX_TOKENS; embed a part of the text"
    ),
    "row_empty": Fault(
        _W,
        "give an answer without content, or with thoughts alone",
        {"thoughts": False},
    ),
    "row_malformed": Fault(
        _W, "give a text that is not JSON, even if the row asks for JSON"
    ),
    "row_finished": Fault(
        _W,
        "give this finish reason, in the publisher's word, to a whole answer",
        {"reason": "OTHER"},
    ),
    "row_unanswered": Fault(_W, "give no answer, and count the row as incomplete"),
}

_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "op": (str, "a text"),
    "match": (dict, "an object"),
    "probability": ((int, float), "a number"),
    "count": (int, "a whole number"),
}

_MATCHES = ("model", "display_name", "label", "row_text")


@dataclass(frozen=True, slots=True)
class Subject:
    """What a rule is matched against; None where it does not apply."""

    model: str | None = None
    display_name: str | None = None
    labels: Mapping[str, str] | None = None
    row: str | None = None


@dataclass(slots=True, eq=False)
class Rule:
    """A fault with its conditions. `struck` counts how often it has happened."""

    id: int
    fault: str
    op: str | None = None
    match: Mapping[str, Any] = field(default_factory=dict)
    probability: float | None = None
    count: int | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    struck: int = 0

    def json(self) -> dict[str, Any]:
        """As `GET /_sim/faults` shows it."""
        return {
            "id": self.id,
            "fault": self.fault,
            "op": self.op,
            "match": dict(self.match),
            "probability": self.probability,
            "count": self.count,
            "struck": self.struck,
            **self.params,
        }


class Faults:
    """The rules in force. Safe to use from several threads."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._rules: list[Rule] = []
        self._chances: dict[int, random.Random] = {}
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._listeners: list[Callable[[], None]] = []

    def add(
        self,
        fault: str,
        *,
        op: str | None = None,
        match: Mapping[str, Any] | None = None,
        probability: float | None = None,
        count: int | None = None,
        **params: Any,
    ) -> Rule:
        """Add a rule. ApiError 400 names what is wrong with it."""
        known = CATALOGUE.get(fault)
        if known is None:
            raise invalid(f"fault: {fault!r} is not one of {', '.join(CATALOGUE)}.")
        if op is not None and op not in OPS:
            raise invalid(f"op: {op!r} is not one of {', '.join(OPS)}.")
        if op is not None and known.stage is not Stage.REQUEST:
            raise invalid(f"op: {fault} is not a fault of requests; omit op.")
        for name, value in (match or {}).items():
            if name not in _MATCHES:
                raise invalid(f"match: {name!r} is not one of {', '.join(_MATCHES)}.")
            if not isinstance(value, (str, dict) if name == "label" else str):
                raise invalid(f"match.{name}: {value!r} is not a text.")
        if match and known.stage is Stage.LIST and "seconds" not in known.takes:
            raise invalid(f"match: {fault} applies to whole lists; omit match.")
        if "row_text" in (match or {}) and known.stage is not Stage.ROW:
            raise invalid(f"match: {fault} doesn't apply to rows; omit row_text.")
        for name, value in params.items():
            if name not in known.takes:
                takes = ", ".join(known.takes) or "no parameters"
                raise invalid(f"{name}: {fault} takes {takes}.")
            default = known.takes[name]
            # In Python a bool is an int too, so bool and str are compared exactly.
            kinds = type(default) if isinstance(default, bool | str) else (int, float)
            if not isinstance(value, kinds) and value is not default:
                raise invalid(
                    f"{name}: {value!r} has the wrong type; the default is {default}."
                )
        if probability is not None and not 0 <= probability <= 1:
            raise invalid(f"probability: {probability} is not between 0 and 1.")
        if count is not None and count < 1:
            raise invalid(f"count: {count} is not 1 or more.")
        with self._lock:
            rule = Rule(
                id=next(self._ids),
                fault=fault,
                op=op,
                match=dict(match or {}),
                probability=probability,
                count=count,
                params={**known.takes, **params},
            )
            self._chances[rule.id] = random.Random(f"{self._seed}/{rule.id}")
            self._rules.append(rule)
        return rule

    def load(self, rules: Iterable[Mapping[str, Any]]) -> list[Rule]:
        """Add rules as JSON or TOML has them: `{"fault": ..., "count": ...}`."""
        added = []
        for rule in rules:
            if not isinstance(rule, Mapping):
                raise invalid(
                    f"{rule!r} is not a rule; write an object with a `fault`."
                )
            given = dict(rule)
            name = given.pop("fault", None)
            if not isinstance(name, str):
                raise invalid("fault: give a name, such as drop_reply.")
            for field_, (kind, called) in _TYPES.items():
                value = given.get(field_)
                if value is not None and not isinstance(value, kind):
                    raise invalid(f"{field_}: {value!r} is not {called}.")
            added.append(self.add(name, **given))
        return added

    def remove(self, rule: Rule | int) -> None:
        """Remove a rule. Jobs that it held resume."""
        id = rule if isinstance(rule, int) else rule.id
        with self._lock:
            self._rules = [one for one in self._rules if one.id != id]
        self._notify()

    def clear(self) -> None:
        """Remove all rules. Jobs that they held resume."""
        with self._lock:
            self._rules = []
        self._notify()

    def rules(self) -> list[Rule]:
        """The rules, in the order in which they were added."""
        with self._lock:
            return self._rules[:]

    def on_removal(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each removal of rules."""
        self._listeners.append(listener)

    def of_request(self, op: str, subject: Subject) -> list[Rule]:
        """The rules that apply to this request."""
        with self._lock:
            candidates = [
                rule
                for rule in self._of(Stage.REQUEST)
                if rule.op in (None, op) and fits(rule, subject)
            ]
            return [rule for rule in candidates if self._strikes(rule)]

    def of_list(self) -> list[Rule]:
        """The rules that apply to this list call, whichever jobs they match."""
        with self._lock:
            return [rule for rule in self._of(Stage.LIST) if self._strikes(rule)]

    def strike(self, subject: Subject, *names: str) -> Rule | None:
        """The first rule for one of the faults `names` that applies, if any."""
        with self._lock:
            for rule in self._rules:
                if rule.fault not in names or not fits(rule, subject):
                    continue
                if self._strikes(rule):
                    return rule
        return None

    def of_row(self, subject: Subject) -> Rule | None:
        """The rule that applies to a row. The same seed picks the same rows."""
        with self._lock:
            for rule in self._of(Stage.ROW):
                if _spent(rule) or not fits(rule, subject):
                    continue
                if rule.probability is not None:
                    chance = fingerprint(f"{self._seed}/{rule.id}", subject.row or "")
                    if int(chance[:8], 16) / 2**32 >= rule.probability:
                        continue
                rule.struck += 1
                return rule
        return None

    def vanished(self, subject: Subject) -> bool:
        """Whether a list omits this job. Asking does not count towards `count`."""
        with self._lock:
            return any(
                rule.fault == "vanished" and not _spent(rule) and fits(rule, subject)
                for rule in self._rules
            )

    @property
    def about_rows(self) -> bool:
        """Whether any rule could apply to a row."""
        return any(CATALOGUE[rule.fault].stage is Stage.ROW for rule in self._rules)

    def _of(self, stage: Stage) -> Iterator[Rule]:
        return (rule for rule in self._rules if CATALOGUE[rule.fault].stage is stage)

    def _strikes(self, rule: Rule) -> bool:
        if _spent(rule):
            return False
        chance = 1.0 if rule.probability is None else rule.probability
        if self._chances[rule.id].random() >= chance:
            return False
        rule.struck += 1
        return True

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()


def _spent(rule: Rule) -> bool:
    return rule.count is not None and rule.struck >= rule.count


def fits(rule: Rule, subject: Subject) -> bool:
    """Whether a rule matches `subject`."""
    for name, wanted in rule.match.items():
        if name == "label":
            if not _has_label(wanted, subject.labels):
                return False
        elif name == "row_text":
            if subject.row is None or str(wanted) not in subject.row:
                return False
        else:
            value = subject.model if name == "model" else subject.display_name
            if value is None or not _is_like(value, str(wanted)):
                return False
    return True


def _is_like(value: str, pattern: str) -> bool:
    # A pattern may match the model as in the request, or its bare name.
    return fnmatchcase(value, pattern) or fnmatchcase(value.rpartition("/")[2], pattern)


def _has_label(wanted: Any, labels: Mapping[str, str] | None) -> bool:
    if labels is None:
        return False
    if isinstance(wanted, str):
        key, equals, value = wanted.partition("=")
        return key in labels and (not equals or labels[key] == value)
    return all(
        key in labels and value in ("*", labels[key]) for key, value in wanted.items()
    )
