"""A job's generation configuration, converted to what the API takes."""

import json
from dataclasses import replace
from typing import Any, NoReturn

import msgspec
from msgspec import Raw

from batchdrop.batches import inline
from batchdrop.batches.official import SDK_ONLY
from batchdrop.jobs.sizes import MAX_CONFIG
from batchdrop.preflight import Rules, config_error
from batchdrop.preflight.members import public
from batchdrop.preflight.names import camel_case, placed
from batchdrop.quoting import unquoted

_TOO_DEEP = "it nests too deeply to be read; write it flatter"

#: What the client raises for values that it can't convert.
INCONVERTIBLE = (
    *(ValueError, TypeError, AttributeError, KeyError),
    *(msgspec.MsgspecError, RecursionError),
)


def wire_config(text: str, rules: Rules, *, private: bool = True) -> str | None:
    """
    A generation configuration, ready to be merged into requests. Its members are those
    of the client's `CreateBatchJobConfig`. Names are put into camelCase, so that all
    lines of a file have the same columns.

    Args:
        text: a JSON object.
        rules: the job's, without a generation configuration.
        private: whether errors leave out the names of a user's own members. Those of
            the deployer's configuration may be quoted.

    Returns:
        JSON, or None if nothing is left to merge.

    Raises:
        ValueError: every line would be refused for it; says what to write instead.
    """
    if (size := len(text.encode(errors="replace"))) > MAX_CONFIG:
        raise ValueError(f"it has {size:,} bytes; write at most {MAX_CONFIG:,}")
    given = exact_json(text)
    if not isinstance(given, dict):
        raise ValueError("it isn't a JSON object; write one")
    placed(given)
    config: dict[str, Any] = {}
    for name, value in given.items():
        if name in SDK_ONLY:
            raise ValueError(f"{name} is the official SDK's own; leave it out")
        try:
            beside, inside = inline.split_config({name: value})
        except RecursionError as exc:
            # Python 3.13 reads JSON that is nested more deeply than this goes.
            raise ValueError(_TOO_DEEP) from exc
        except INCONVERTIBLE as exc:
            why = str(exc) if isinstance(exc, ValueError) else "it can't be read"
            if private:
                name, why = public(name), unquoted(why)
            raise ValueError(f"{name}: {why}; write it as the API has it") from exc
        config |= beside | inside
    try:
        made = msgspec.json.encode(camel_case(config))
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc
    if wrong := config_error(
        replace(rules, generation_config=made), public if private else str
    ):
        raise ValueError(wrong)
    return made.decode() if config else None


def exact_json(text: str | bytes) -> Any:
    """
    Decodes JSON, and keeps numbers as they are written, with all their digits.

    Raises:
        ValueError: it isn't JSON, or nests too deeply to be read.
    """
    try:
        return json.loads(
            text, parse_int=_raw, parse_float=_raw, parse_constant=_constant
        )
    except RecursionError as exc:
        raise ValueError(_TOO_DEEP) from exc


def _raw(number: str) -> Raw:
    return Raw(number.encode())


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")
