"""Names that a deployer or a file may write, each with what to write in its place."""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from batchdrop.jobs.sizes import MAX_CONFIG
from batchdrop.jobs.values import MAX_NAME, MAX_OBJECT_NAME, OTHER, OWN_LABELS

#: Of labels; the service takes 64 of them, and two are ours.
MAX_LABELS = 62
#: The states in which a batch can stand still (aiplatform v1 JobState).
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


def short(value: object) -> str:
    """A deployer's own value, as it may stand in a message to the deployer alone."""
    shown = repr(value)
    return shown if len(shown) <= 200 else f"{shown[:200]}..."


def shape(value: object) -> str:
    """
    What a message says of a value: its kind and size. Never the value, which may be a
    password or a signed address, and would be logged, stored and announced.
    """
    match value:
        case str():
            return f"a text of {len(value):,} characters"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case Mapping():
            return f"an object with {len(value):,} members"
        case list() | tuple():
            return f"a list of {len(value):,}"
        case None:
            return "null"
    return f"a {type(value).__name__}"


# -- models ------------------------------------------------------------------------


def model(text: str, backend: str) -> str:
    """
    The one way to write a model, of all that mean the same to the service:

        gemini-x google/gemini-x models/gemini-x
        publishers/google/models/gemini-x               gemini-x
        meta/llama-x publishers/meta/models/llama-x     publishers/meta/models/llama-x
        projects/../locations/../models/1               as it is
        tunedModels/x, with the Developer API           as it is

    Raises:
        ValueError: it is none, or would change the address that it is put into.
    """
    good = re.fullmatch(rf"{_SEGMENT}(?:/{_SEGMENT})*", text)
    parts = text.split("/")
    # A colon would call another method, and dots another resource.
    if not good or ".." in text or "." in parts or len(text) > 400:
        raise ValueError(f"{shape(text)} is no model's name; write one such as {_LIKE}")
    publisher, name = "google", parts[-1]
    match parts:
        case [_] | ["models" | "google", _]:
            return name
        case ["publishers", publisher, "models", _]:
            pass
        case ["tunedModels", _] if backend == "developer":
            return text
        case [publisher, _] if publisher not in ("publishers", "projects"):
            pass
        case _ if backend == "vertex" and _TUNED.fullmatch(text):
            return text
        case _:
            raise ValueError(
                f"{shape(text)} is no model's name; write one such as {_LIKE}"
            )
    if publisher == "google":
        return name
    if backend == "developer" or publisher == "tunedModels":
        raise ValueError(
            f"{shape(text)} is no model of "
            + ("the Developer API" if backend == "developer" else "Vertex AI")
        )
    return f"publishers/{publisher}/models/{name}"


_LIKE = "gemini-3.8-flash, or publishers/anthropic/models/claude-sonnet-5-5"


# -- places ------------------------------------------------------------------------


def gs_prefix(text: str) -> str:
    """
    A `gs://bucket/prefix/`, with a slash at its end.

    Raises:
        ValueError: it is none, or one that could be read in two ways.
    """
    address = _gs(text.removesuffix("/"), "gs://bucket/prefix")
    return f"{address}/"


def gs_object(text: str) -> str:
    """
    A `gs://bucket/object`.

    Raises:
        ValueError: it is none, or names several.
    """
    address = _gs(text, "gs://bucket/object.jsonl")
    if address.count("/") == 2:
        raise ValueError("it names a bucket alone; write gs://bucket/object.jsonl")
    return address


def _gs(text: str, like: str) -> str:
    found = re.fullmatch(rf"gs://{_BUCKET}(?:/(.+))?", text)
    if found is None or not text.isprintable():
        raise ValueError(f"{shape(text)} is not of the form {like}")
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
        ValueError: it is none.
    """
    found = _TABLE.fullmatch(text)
    if found is None or found[2] is None:
        raise ValueError(
            f"{shape(text)} is not of the form bq://project.dataset.table"
            " (no wildcards, no decorators)"
        )
    return text


def bq_destination(text: str) -> str:
    """
    A `bq://project.dataset.table`, or a `bq://project.dataset`, in which the service
    makes a table.

    Raises:
        ValueError: it is none.
    """
    if _TABLE.fullmatch(text) is None:
        raise ValueError(
            f"{shape(text)} is not of the form bq://project.dataset.table, "
            "or bq://project.dataset"
        )
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
        raise ValueError(
            f"{shape(text)} is neither project.dataset nor "
            "projects/P/locations/L/datasets/D"
        )
    return found[1]


# -- labels ------------------------------------------------------------------------


def label(name: object, value: object) -> str:
    """What is wrong with a label, and what to write; empty if nothing is."""
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
        ValueError: says which can't be one.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in text.split(","))):
        name, equals, value = (each.strip() for each in pair.partition("="))
        if not equals:
            raise ValueError(f"{shape(pair)} is no label; write team=search,env=prod")
        if wrong := label(name, value):
            raise ValueError(wrong)
        if name in found:
            raise ValueError(f"label {name} is there twice")
        found[name] = value
    if len(found) > MAX_LABELS:
        raise ValueError(f"{len(found)} labels; at most {MAX_LABELS} can be given")
    return found


# -- states ------------------------------------------------------------------------


def stalled_after(given: object) -> dict[str, float]:
    """
    Seconds in a state, by its full name; of a number, for every state, or of numbers
    by state. A state with 0 isn't there: a batch may stay in it for ever.

    Raises:
        ValueError: an unknown state, or no number of seconds.
    """
    if not isinstance(given, Mapping):
        every = seconds_or_never(given)
        return {} if every is None else {OTHER: every}
    found: dict[str, float] = {}
    known: set[str] = set()
    for name, value in given.items():
        state = str(name).removeprefix("JOB_STATE_")
        if state not in STATES:
            raise ValueError(
                f"{shape(name)} is no state to stand still in; write one of "
                f"{', '.join(STATES)}"
            )
        if state in known:
            raise ValueError(f"{state} is there twice")
        known.add(state)
        after = seconds_or_never(value)
        if after is not None:
            found[f"JOB_STATE_{state}"] = after
    return found


def seconds_or_never(given: object) -> float | None:
    """A duration; 0 is for never."""
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        value = -1.0
    else:
        try:
            value = float(given)
        except (ValueError, OverflowError):
            value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"{shape(given)} is no number of seconds, or 0 for never")
    return value or None


# -- values, as they come from TOML, JSON or an object's metadata ------------------


def text(given: object) -> str:
    """A text of some length, on one line."""
    if not isinstance(given, str) or not given.strip():
        raise ValueError(f"it is {shape(given)}; write a text")
    if not given.isprintable():
        raise ValueError(
            f"it is {shape(given)}; write a text of one line, in plain type"
        )
    return given


def display_name(given: object) -> str:
    """A name for people, as long as the service takes."""
    name = text(given)
    if len(name) > MAX_NAME:
        raise ValueError(f"it has {len(name)} characters; write at most {MAX_NAME}")
    return name


def choice(*choices: str) -> Callable[[object], str]:
    """One of some words."""

    def read(given: object) -> str:
        if not isinstance(given, str) or given not in choices:
            wanted = " or ".join(f'"{each}"' for each in choices)
            raise ValueError(f"it is {shape(given)}; write {wanted}")
        return given

    return read


kind = choice("generation", "embedding")
on_invalid = choice("reject", "skip")
unknown = choice("reject", "allow")


def limit(given: object) -> int | None:
    """A whole number; 0 is for no limit."""
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 2**53:
        raise ValueError(
            f"it is {shape(given)}; write a whole number, or 0 for no limit"
        )
    return given or None


def limit_in_words(text: str) -> int | None:
    """The same, written as a text."""
    if not re.fullmatch("[0-9]{1,15}", text):
        raise ValueError(
            f"it is {shape(text)}; write a whole number, or 0 for no limit"
        )
    return limit(int(text))


def switch(given: object) -> bool:
    """True or false."""
    if not isinstance(given, bool):
        raise ValueError(f"it is {shape(given)}; write true or false")
    return given


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
        raise ValueError(
            f'it is {shape(given)}; write a JSON object, such as {{"temperature": 0}}'
        ) from None
    # In a text of JSON a line feed is escaped, so that these stand between values.
    return re.sub(r"[\r\n]", " ", given).strip() if value else None


def label_table(given: object) -> dict[str, str]:
    """Labels by their names."""
    if not isinstance(given, Mapping):
        raise ValueError(f"it is {shape(given)}; write labels by their names")
    for name, value in given.items():
        if wrong := label(name, value):
            raise ValueError(wrong)
    if len(given) > MAX_LABELS:
        raise ValueError(
            f"it has {len(given)} labels; at most {MAX_LABELS} can be given"
        )
    return dict(given)
