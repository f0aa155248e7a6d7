"""Models that a backend will refuse, or replace with another, from some day on."""

from collections.abc import Iterable
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Literal

import msgspec

from batchdrop.preflight.rules import short_model

_APIS = {"vertex": "Vertex AI", "developer": "the Gemini Developer API"}


class Retirement(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to a model on one backend; as text, a warning for people."""

    model: str
    backend: Literal["vertex", "developer"]
    on: date  #: the first day
    #: A create request for a refused model answers 404. A rerouted one is answered, and
    #: charged, as `instead`.
    then: Literal["refused", "rerouted"]
    instead: str

    def __str__(self) -> str:
        api = _APIS[self.backend]
        if self.then == "rerouted":
            return (
                f"{self.model}: {api} answers it with {self.instead} from {self.on} "
                "on, at that model's price; name the model that you want"
            )
        return (
            f"{self.model}: {api} refuses it from {self.on} on (retired, 404); "
            f"use {self.instead}"
        )


class _Table(msgspec.Struct):
    models: list[Retirement]


def retirement(model: str, backend: str) -> Retirement | None:
    """
    What happens to a model on a backend, before its day too; None if nothing does.

    The table is retirements.json, which names its sources; infra/models.tf reads it
    too.
    """
    known = {one.model: one for one in _table() if one.backend == backend}
    name = known_name(model, known)
    return known[name] if name else None


def answering(model: str, backend: str, day: date) -> str:
    """The model that answers on a day, and that is charged."""
    found = retirement(model, backend)
    if found is not None and found.then == "rerouted" and found.on <= day:
        return found.instead
    return model


def known_name(model: str, known: Iterable[str]) -> str | None:
    """The one of these names that a model has; `x-001` and `x@001` are `x`."""
    name = short_model(model)
    found = [one for one in known if name == one or name.startswith(f"{one}-0")]
    return max(found, key=len, default=None)


@cache
def _table() -> tuple[Retirement, ...]:
    text = files("batchdrop.preflight").joinpath("retirements.json").read_bytes()
    return tuple(msgspec.json.decode(text, type=_Table).models)
