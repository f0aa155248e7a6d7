"""
How the values of options are read: one `Type` for each kind of value.

Each reader raises `ValueError` with what it got and what to write. The text describes
the value by its kind and size; only `quoted` repeats a deployer's word or number.
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeGuard

import msgspec

from batchdrop.jobs.codes import Backend
from batchdrop.jobs.sizes import MAX_CONFIG
from batchdrop.jobs.values import (
    MAX_NAME,
    MAX_OBJECT_NAME,
    OTHER,
    OWN_LABELS,
    Location,
)
from batchdrop.rows import RowOutcome, counted

#: Labels that a job can have: the API takes 64, and two are ours.
MAX_LABELS = 62
#: Bytes of the prefix of WORK and OUTPUT. A name has 1,024 in all.
MAX_PREFIX = 512
#: Rounds in which rows of a job may go again by themselves.
MAX_ROUNDS = 3
#: Outcomes of rows that may go again by themselves, if someone chooses so.
MAY_GO_AGAIN = (
    RowOutcome.TRUNCATED,
    RowOutcome.BLOCKED,
    RowOutcome.MALFORMED,
    RowOutcome.EMPTY,
)
#: The states in which a batch can stall (aiplatform v1 JobState).
STATES = (
    "UNSPECIFIED",
    "QUEUED",
    "PENDING",
    "RUNNING",
    "CANCELLING",
    "PAUSED",
    "UPDATING",
)

_SEGMENT = r"[A-Za-z0-9_@.-]+"
_PROJECT = r"(?:[a-z0-9.-]+:)?[a-z0-9-]+"
_BUCKET = r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]"
# At most 1,024 characters each: https://cloud.google.com/bigquery/docs/tables.
_TABLE = re.compile(
    rf"bq://({_PROJECT}\.[A-Za-z0-9_]{{1,1024}})(?:\.([A-Za-z0-9_-]{{1,1024}}))?"
)
_VERTEX_DATASET = re.compile(
    r"projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/datasets/[A-Za-z0-9_-]{1,128}"
)
_TUNED = re.compile(
    r"projects/[a-z0-9.:-]+/locations/[a-z0-9-]+/"
    rf"(?:models|endpoints|publishers/{_SEGMENT}/models)/{_SEGMENT}"
)


def shape(value: object) -> str:
    """
    A value's kind and size, for messages that are logged, stored and announced. The
    value itself may be a password or a signed address, and never stands in one.
    """
    match value:
        case str():
            return f"a text of {counted(len(value), 'character')}"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case Mapping():
            return f"an object with {counted(len(value), 'member')}"
        case list() | tuple():
            return f"a list of {len(value):,}"
        case None:
            return "null"
    return f"a {type(value).__name__}"


class Unreadable(ValueError):
    """
    A word or number that can't be read. Addresses, models and texts, which may hold a
    password or a prompt, raise `_described` in its place.

    Attributes:
        quoted: the error with the value itself, for the deployer who wrote it.
    """

    def __init__(self, given: object, write: str) -> None:
        super().__init__(f"got {shape(given)}; write {write}")
        self.quoted = f"got {short(given)}; write {write}"


def _described(given: object, write: str) -> ValueError:
    return ValueError(f"got {shape(given)}; write {write}")


def quoted(error: ValueError) -> str:
    """What an error says to the deployer, about a value of the deployment's own."""
    return error.quoted if isinstance(error, Unreadable) else str(error)


def short(value: object) -> str:
    """A deployer's own value, to be quoted in a message to the deployer alone."""
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


# -- models ------------------------------------------------------------------------


def model(text: str, backend: str) -> str:
    """
    A model in the one spelling that stands for all that mean the same to the API:

        gemini-x google/gemini-x models/gemini-x
        publishers/google/models/gemini-x               gemini-x
        meta/llama-x publishers/meta/models/llama-x     publishers/meta/models/llama-x
        projects/../locations/../models/1               as it is
        tunedModels/x, with the Developer API           as it is

    Raises:
        ValueError: it is no model's name, or would change the URL that it becomes a
            part of.
    """
    good = re.fullmatch(rf"{_SEGMENT}(?:/{_SEGMENT})*", text)
    parts = text.split("/")
    # A colon would call another method, and dots would name another resource.
    if not good or ".." in text or "." in parts or len(text) > 400:
        raise _described(text, _MODEL)
    publisher, name = "google", parts[-1]
    match parts:
        case [_] | ["models" | "google", _]:
            return name
        case ["publishers", publisher, "models", _]:
            pass
        case ["tunedModels", _] if backend == Backend.DEVELOPER:
            return text
        case [publisher, _] if publisher not in ("publishers", "projects"):
            pass
        case _ if backend == Backend.VERTEX and _TUNED.fullmatch(text):
            return text
        case _:
            raise _described(text, _MODEL)
    if publisher == "google":
        return name
    if backend == Backend.DEVELOPER or publisher == "tunedModels":
        raise ValueError(
            f"{shape(text)} is no model of "
            + ("the Developer API" if backend == Backend.DEVELOPER else "Vertex AI")
        )
    return f"publishers/{publisher}/models/{name}"


_MODEL = (
    "a model's name, such as gemini-3.8-flash, or "
    "publishers/anthropic/models/claude-sonnet-5-5"
)


def any_model(given: object) -> str:
    """
    A model as it is written, for a deployer: each backend's names will do, since routes
    may have another backend.

    Raises:
        ValueError: it is no model's name.
    """
    name = text(given)
    try:
        model(name, Backend.VERTEX)
    except ValueError:
        model(name, Backend.DEVELOPER)
    return name


# -- places ------------------------------------------------------------------------


def gs_prefix(text: str) -> str:
    """
    A `gs://bucket/prefix/`, with a slash at its end.

    Raises:
        ValueError: it is no such address, or one that could be read in two ways.
    """
    address = _gs(text.removesuffix("/"), "gs://bucket/prefix")
    return f"{address}/"


def gs_object(text: str) -> str:
    """
    A `gs://bucket/object`.

    Raises:
        ValueError: it is no such address, or has a wildcard.
    """
    address = _gs(text, "gs://bucket/object.jsonl, without wildcards")
    if address.count("/") == 2:
        raise ValueError("got a bucket alone; write gs://bucket/object.jsonl")
    return address


def _gs(text: str, like: str) -> str:
    found = re.fullmatch(rf"gs://{_BUCKET}(?:/(.+))?", text)
    if found is None or not text.isprintable():
        raise _described(text, like)
    if re.search(r"[*?\[\]]", text):
        raise ValueError(f"{shape(text)} has a wildcard; name each object by itself")
    parts = found[1].split("/") if found[1] else []
    if any(part in ("", ".", "..") for part in parts):
        raise ValueError(
            f"{shape(text)} has a part that is empty, or made of dots; "
            f"write it out as {like}"
        )
    if len((found[1] or "").encode()) > MAX_OBJECT_NAME:
        raise ValueError(f"{shape(text)} is longer than an object's name can be")
    return text


def bq_table(text: str) -> str:
    """
    A `bq://project.dataset.table`.

    Raises:
        ValueError: it is no such address.
    """
    found = _TABLE.fullmatch(text)
    if found is None or found[2] is None:
        raise _described(
            text, "bq://project.dataset.table (no wildcards, no decorators)"
        )
    return text


def bq_destination(text: str) -> str:
    """
    A `bq://project.dataset.table`, or a `bq://project.dataset`, in which the API makes
    a table.

    Raises:
        ValueError: it is no such address.
    """
    if _TABLE.fullmatch(text) is None:
        raise _described(text, "bq://project.dataset.table, or bq://project.dataset")
    return text


def bq_dataset(address: str) -> str:
    """`project.dataset` of a table's or dataset's bq:// address."""
    found = _TABLE.fullmatch(address)
    assert found is not None
    return found[1]


def is_vertex_dataset(text: str) -> bool:
    """Whether it is `projects/P/locations/L/datasets/D`."""
    return _VERTEX_DATASET.fullmatch(text) is not None


def dataset(text: str) -> str:
    """
    A dataset that may be allowed: `project.dataset` of BigQuery, or Vertex AI's
    `projects/P/locations/L/datasets/D`.

    Raises:
        ValueError: it is neither.
    """
    if is_vertex_dataset(text):
        return text
    found = _TABLE.fullmatch(f"bq://{text.removeprefix('bq://')}")
    if found is None or found[2] is not None:
        raise _described(text, "project.dataset, or projects/P/locations/L/datasets/D")
    return found[1]


def destination(text: str) -> str:
    """
    Where results may go: a gs:// prefix, or a bq:// address.

    Raises:
        ValueError: it is neither.
    """
    if text.startswith("bq://"):
        return bq_destination(text)
    if text.startswith("gs://"):
        return gs_prefix(text)
    raise _described(text, "gs://bucket/prefix/, or bq://project.dataset.table")


def _deployments_prefix(text: str) -> Location:
    """WORK and OUTPUT, with room for names under them."""
    try:
        found = Location.parse(text)
    except ValueError:
        raise _described(text, "gs://bucket/prefix") from None
    if (size := len(found.prefix.encode())) > MAX_PREFIX:
        raise ValueError(
            f"its prefix has {size:,} bytes; write one of at most {MAX_PREFIX}, to "
            "leave room for names under it"
        )
    return found


# -- labels ------------------------------------------------------------------------


def label(name: object, value: object) -> str:
    """What is wrong with a label, and what to write; empty if it is a good one."""
    if isinstance(name, str) and name.lower().startswith(OWN_LABELS):
        return (
            f"a label whose name is {shape(name)}: labels that begin with {OWN_LABELS} "
            "are batchdrop's own; write another name"
        )
    if not isinstance(name, str) or not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", name):
        return (
            f"a label whose name is {shape(name)}: write lowercase letters, digits, - "
            "and _, at most 63, a letter first"
        )
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9_-]{0,63}", value):
        return (
            f"label {name}: its value is {shape(value)}; write a text of lowercase "
            "letters, digits, - and _, at most 63"
        )
    return ""


def labels(text: str) -> dict[str, str]:
    """
    Labels written as `team=search,env=prod`.

    Raises:
        ValueError: one of them can't be a label.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = (each.strip() for each in pair.partition("="))
        if not equals:
            raise _described(pair, "team=search,env=prod")
        if wrong := label(name, value):
            raise ValueError(wrong)
        if name in found:
            raise ValueError(f"label {name} is given twice")
        found[name] = value
    if len(found) > MAX_LABELS:
        raise ValueError(f"got {len(found)} labels; write at most {MAX_LABELS}")
    return found


def label_table(given: object) -> dict[str, str]:
    """Labels by their names."""
    if not isinstance(given, Mapping):
        raise _described(given, "labels by their names")
    for name, value in given.items():
        if wrong := label(name, value):
            raise ValueError(wrong)
    if len(given) > MAX_LABELS:
        raise ValueError(f"got {len(given)} labels; write at most {MAX_LABELS}")
    return dict(given)


# -- states ------------------------------------------------------------------------


def stalled_after(given: object) -> dict[str, float]:
    """
    Seconds in a state, by the state's full name. A number is for every state; 0, for
    all or for one, is for never, and is left out.

    Raises:
        ValueError: an unknown state, or no number of seconds.
    """
    if isinstance(given, str):
        raise Unreadable(
            given, "a number of seconds, or a table of them, [route.stalled_after]"
        )
    if not isinstance(given, Mapping):
        return _in_any_state(given)
    return _by_state((str(name), after) for name, after in given.items())


def _stalled_after_of_text(text: str) -> dict[str, float]:
    """`3600`, or `PENDING=259200,RUNNING=86400`."""
    if "=" not in text:
        return _in_any_state(_number(text))
    pairs = [pair.partition("=") for pair in text.split(",")]
    return _by_state((name.strip(), _number(after)) for name, _, after in pairs)


def _in_any_state(given: object) -> dict[str, float]:
    every = seconds_or_never(given)
    return {} if every is None else {OTHER: every}


def _by_state(pairs: Iterable[tuple[str, object]]) -> dict[str, float]:
    found: dict[str, float | None] = {}
    for name, after in pairs:
        state = name.removeprefix("JOB_STATE_")
        if state not in STATES:
            known = ", ".join(STATES)
            raise Unreadable(name, f"one of the states that can stall: {known}")
        if state in found:
            raise ValueError(f"{state} is given twice")
        found[state] = seconds_or_never(after)
    return {f"JOB_STATE_{state}": after for state, after in found.items() if after}


# -- numbers -----------------------------------------------------------------------


def seconds_or_never(given: object) -> float | None:
    """A number of seconds, below a billion; 0 is for never."""
    if not _is_duration(given) or not 0 <= given < 1e9:
        raise Unreadable(given, "a number of seconds, or 0 for never")
    return float(given) or None


def limit(given: object) -> int | None:
    """A whole number, below 2**53; 0 is for no limit."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**53:
        raise Unreadable(given, "a whole number, or 0 for no limit")
    return given or None


def count(given: object) -> int:
    """A whole number, below 2**53."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**53:
        raise Unreadable(given, "a whole number")
    return given


def rounds(given: object) -> int:
    """A number of rounds, from 0 to MAX_ROUNDS."""
    whole = isinstance(given, int) and not isinstance(given, bool)
    if not whole or given not in range(MAX_ROUNDS + 1):
        raise Unreadable(given, f"a whole number from 0 to {MAX_ROUNDS}")
    assert isinstance(given, int)
    return given


def amount(given: object) -> float | None:
    """An amount of money, below a billion; 0 is for no limit."""
    if not _is_duration(given) or not 0 <= given < 1e9:
        raise Unreadable(given, "an amount such as 12.50, or 0 for no limit")
    return float(given) or None


def share(given: object) -> float:
    """A share of a whole, from 0 to 1."""
    if not _is_duration(given) or not 0 <= given <= 1:
        raise Unreadable(given, "a number from 0 to 1")
    return float(given)


def _is_duration(given: object) -> TypeGuard[int | float]:
    return isinstance(given, (int, float)) and not isinstance(given, bool)


def _number(text: str) -> object:
    """The number that a text is, or else the text, which its reader refuses."""
    try:
        return float(text)
    except ValueError:
        return text


def _seconds(text: str) -> float:
    given = _number(text)
    if not _is_duration(given) or not 0 < given < 1e9:
        raise Unreadable(text, "a number of seconds, above 0")
    return given


def _whole(text: str) -> object:
    """The whole number that a text is, or else the text, which its reader refuses."""
    return int(text) if re.fullmatch("[0-9]{1,15}", text) else text


# -- texts -------------------------------------------------------------------------


def text(given: object) -> str:
    """A text that isn't empty, on one line."""
    if not isinstance(given, str) or not given.strip():
        raise _described(given, "a text")
    if not given.isprintable():
        raise _described(given, "a text of one line, in plain type")
    return given


def display_name(given: object) -> str:
    """A name for people, as long as the API takes."""
    name = text(given)
    if len(name) > MAX_NAME:
        raise ValueError(f"it has {len(name)} characters; write at most {MAX_NAME}")
    return name


def _region(given: object) -> str:
    if not isinstance(given, str) or not re.fullmatch(r"[a-z0-9-]+", given):
        raise Unreadable(given, "a region, us, eu or global")
    return given


def _deployment(text: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9_-]{0,62}", text):
        raise Unreadable(
            text,
            "lowercase letters, digits, - and _, at most 63, a letter first: it "
            "becomes a label",
        )
    return text


def _choice(*choices: str) -> "Type":
    words = " or ".join(f'"{each}"' for each in choices)

    def read(given: object) -> str:
        if not isinstance(given, str) or given not in choices:
            raise Unreadable(given, words)
        return given

    return Type(" or ".join(f"`{each}`" for each in choices), read, read)


def person(given: str) -> str:
    """Somebody's address, or all of a domain's."""
    if not re.fullmatch(r"(domain:|[^\s@:,]+@)[^\s@:,]+", given):
        raise Unreadable(given, "an address such as ada@example.com, or domain:NAME")
    return given.lower()


def switch(given: object) -> bool:
    """True or false."""
    if not isinstance(given, bool):
        raise Unreadable(given, "true or false")
    return given


def _switch_of_text(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    return switch(known.get(text.lower(), text))


def retried(given: object) -> tuple[str, ...]:
    """Outcomes whose rows go again: a list, or a text with commas between."""
    if isinstance(given, str):
        given = [each.strip() for each in given.split(",") if each.strip()]
    words = f"one or more of {', '.join(MAY_GO_AGAIN)}"
    if not isinstance(given, list):
        raise Unreadable(given, words)
    for each in given:
        if each not in MAY_GO_AGAIN:
            raise Unreadable(each, words)
    return tuple(dict.fromkeys(given))


# -- configurations ----------------------------------------------------------------


def a_config(given: str) -> str | None:
    """
    A JSON object on one line, as it was written, to be put into lines; None, if it has
    no members.
    """
    if (size := len(given)) > MAX_CONFIG:
        raise ValueError(f"it has {size:,} characters; write at most {MAX_CONFIG:,}")
    try:
        value = msgspec.json.decode(given, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _described(given, 'a JSON object, such as {"temperature": 0}') from None
    # JSON escapes line feeds within a text, so that these stand between values.
    return re.sub(r"[\r\n]", " ", given).strip() if value else None


def _config_of_toml(given: object) -> str | None:
    if not isinstance(given, dict):
        raise _described(given, "a table, [route.generation_config]")
    if wrong := next(_not_json(given, ""), None):
        raise ValueError(wrong)
    return json.dumps(given, ensure_ascii=False) if given else None


def _not_json(value: Any, path: str) -> Iterator[str]:
    """Yields the values that TOML has and JSON hasn't."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from _not_json(member, f"{path}.{name}" if path else name)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _not_json(item, f"{path}[{number}]")
    elif isinstance(value, float):
        if not math.isfinite(value):
            yield f"{path} is {value}; JSON has no such number"
    elif not isinstance(value, (str, int)):
        yield f"{path} is a {type(value).__name__}, which JSON hasn't; write a text"


# -- types -------------------------------------------------------------------------


class Type(NamedTuple):
    """What an option's value may be."""

    words: str  #: for the reference page
    of_text: Callable[[str], Any]  #: from the environment, or an object's metadata
    of_value: Callable[[Any], Any]  #: from TOML or JSON
    nothing: str = "none"  #: for the reference page: what it means that none is given


def _several(words: str, read: Callable[[str], Any]) -> Type:
    """Of these with commas between. No route, manifest or object has lists."""

    def of_text(text: str) -> tuple[Any, ...]:
        return tuple(read(each.strip()) for each in text.split(",") if each.strip())

    return Type(f"{words}, with commas between", of_text, of_text)


def _prefix(text: str) -> Location:
    return Location.parse(gs_prefix(text))


TEXT = Type("text", text, text)
#: Never refused, so that no message quotes one.
SECRET = Type("text", str, str)
DISPLAY_NAME = Type(
    f"text of at most {MAX_NAME} characters", display_name, display_name
)
DEPLOYMENT = Type("lowercase letters, digits, `-` and `_`", _deployment, _deployment)
REGION = Type("region such as `us-central1`, `us`, `eu` or `global`", text, _region)
#: A file's model is held against the allowed ones, a route's is checked by itself.
MODEL = Type("model", text, any_model)
MODELS = _several("models", any_model)
PREFIX = Type("`gs://bucket/prefix`", _deployments_prefix, _deployments_prefix)
PREFIXES = _several("`gs://` prefixes", _prefix)
#: Only a file's results may go into BigQuery.
DESTINATION = Type(
    "`gs://bucket/prefix/`, or `bq://project.dataset.table`",
    lambda given: destination(text(given)),
    lambda given: gs_prefix(text(given)),
)
DATASETS = _several(
    "`project.dataset`, or `projects/P/locations/L/datasets/D`", dataset
)
SECONDS = Type("seconds, above 0", _seconds, _seconds)
SECONDS_OR_NEVER = Type(
    "seconds, `0` for never",
    lambda text: seconds_or_never(_number(text)),
    seconds_or_never,
    "never",
)
STALLED_AFTER = Type(
    "seconds, or seconds by state: `PENDING=259200,RUNNING=86400`; `0` for never",
    _stalled_after_of_text,
    stalled_after,
    "never",
)
LIMIT = Type(
    "whole number, `0` for no limit",
    lambda text: limit(_whole(text)),
    limit,
    "no limit",
)
AMOUNT = Type(
    "amount in the price list's currency, `0` for no limit",
    lambda text: amount(_number(text)),
    amount,
    "no limit",
)
ROUNDS = Type(
    f"whole number from 0 to {MAX_ROUNDS}", lambda text: rounds(_whole(text)), rounds
)
RETRIED = Type(
    f"of {', '.join(f'`{each}`' for each in MAY_GO_AGAIN)}, with commas between",
    retried,
    retried,
)
COUNT = Type("whole number", lambda text: count(_whole(text)), count)
SWITCH = Type("`true` or `false`", _switch_of_text, switch)
LABELS = Type("`team=search,env=prod`", lambda given: labels(text(given)), label_table)
CONFIG = Type(
    f"JSON object of at most {MAX_CONFIG:,} characters", a_config, _config_of_toml
)
KIND = _choice("generation", "embedding")
BACKEND = _choice(*Backend)
ACCESS = _choice("iam", "iap", "local")
PEOPLE = _several("addresses", person)
ON_INVALID = _choice("reject", "skip")
UNKNOWN = _choice("reject", "allow")
MANIFEST = _choice("optional", "required")
RESULTS = _choice("on", "full", "off")
SHARE = Type("number from 0 to 1", lambda text: share(_number(text)), share)
