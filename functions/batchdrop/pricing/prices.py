"""The price list: batch prices with the backend, location and days they hold for."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from importlib.resources import files
from itertools import combinations
from typing import Literal, get_args

import msgspec
from msgspec import UNSET, Struct, UnsetType, field

from batchdrop.jobs.codes import Backend
from batchdrop.preflight.retirements import answering
from batchdrop.preflight.rules import short_model

#: Bytes of a list.
MAX_SIZE = 500_000
#: The most that a million tokens may cost, and the digits behind the point.
MAX_RATE, MAX_DIGITS = 1_000_000, 9

#: What has a price of its own. `input` is text and documents, `cached` what a cache
#: had of the prompt, `write` what was written into a cache for five minutes, and
#: `write_1h` for an hour. `output` has the thoughts.
Kind = Literal[
    "input",
    "input_image",
    "input_video",
    "input_audio",
    "cached",
    "cached_audio",
    "write",
    "write_1h",
    "output",
    "output_image",
    "output_audio",
]
KINDS: tuple[Kind, ...] = get_args(Kind)

_BACKENDS: dict[str, str] = {
    Backend.VERTEX: "Vertex AI",
    Backend.DEVELOPER: "the Gemini Developer API",
}
#: What stands behind the name of a model in that of a version: a number, a day, or the
#: month of a preview.
_VERSION = re.compile(r"(?:-\d{3}|-\d{8}|-\d{2}-\d{4})\Z", re.ASCII)

#: Prices of media that have no price of their own are those of text. Null: not known.
_Medium = Decimal | UnsetType | None


class Rates(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """
    The price of a million tokens of each kind, in the list's currency: a token costs as
    many millionths. A kind that is absent isn't known, but for media, which cost what
    text costs.
    """

    input: Decimal
    input_image: _Medium = UNSET
    input_video: _Medium = UNSET
    input_audio: _Medium = UNSET
    cached: Decimal | None = None
    cached_audio: Decimal | None = None
    write: Decimal | None = None
    write_1h: Decimal | None = None
    output: Decimal | None = None
    output_image: Decimal | None = None
    output_audio: Decimal | None = None

    def rate(self, kind: Kind) -> Decimal | None:
        """The price of a kind; None if it isn't known."""
        given: Decimal | UnsetType | None = getattr(self, kind)
        if given is UNSET:
            return self.input
        if kind == "cached_audio" and given is None and self.input_audio is UNSET:
            return self.cached
        return given

    def __post_init__(self) -> None:
        for kind in KINDS:
            if isinstance(rate := getattr(self, kind), Decimal):
                _check(kind, rate)


class Long(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The prices of a request whose prompt has more tokens: all of its tokens."""

    above: int


class Entry(Rates, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Prices of some models, from a day until another; both days are among them."""

    models: tuple[str, ...]
    sources: tuple[str, ...]  #: names in the list's `sources`
    backend: Backend | None = None  #: None: both
    since: date = field(name="from", default=date.min)
    until: date = date.max
    long: Long | None = None
    #: The factor outside Vertex AI's location `global`; None: not known.
    elsewhere: Decimal | None = None
    note: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.elsewhere is not None:
            _check("elsewhere", self.elsewhere)
        if self.since > self.until:
            raise ValueError(f"from {self.since} is after until {self.until}")

    def overlaps(self, other: "Entry") -> bool:
        """Whether both have a price for one model on one backend on one day."""
        return (
            None in (self.backend, other.backend) or self.backend == other.backend
        ) and max(self.since, other.since) <= min(self.until, other.until)


def _check(name: str, value: Decimal) -> None:
    exponent = value.as_tuple().exponent
    # NaN and Infinity have a letter as their exponent.
    good = isinstance(exponent, int) and exponent >= -MAX_DIGITS
    if not good or not 0 <= value <= MAX_RATE:
        raise ValueError(
            f"{name} is no price; write a number of at most {MAX_RATE:,} with at most "
            f"{MAX_DIGITS} digits behind the point"
        )


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where prices come from, for people."""

    what: str
    read: str  #: when the prices were read there


@dataclass(frozen=True, slots=True)
class Unpriced:
    """Why there is no price, or no cost. Never to be taken for 0."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """The prices of one model, backend, location and day."""

    model: str  #: as the list names it
    entry: Entry
    factor: Decimal  #: of the location

    @property
    def above(self) -> int | None:
        """The most tokens of a prompt that isn't long; None: none is."""
        return self.entry.long.above if self.entry.long else None

    def rate(self, kind: Kind, *, long: bool = False) -> Decimal | None:
        """The price of a token in millionths of the currency; None: not known."""
        rates = self.entry.long if long and self.entry.long else self.entry
        found = rates.rate(kind)
        return None if found is None else found * self.factor


class Prices(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price list. The built-in one is prices.json."""

    as_of: date
    currency: str
    sources: dict[str, Source]
    prices: list[Entry]
    aliases: dict[str, str] = {}
    unknown: dict[str, str] = {}  #: models whose price can't be known, and why
    note: str = ""

    @classmethod
    def load(cls, text: bytes | None = None) -> "Prices":
        """
        Reads a list.

        Args:
            text: a list as JSON; None: the built-in one.

        Raises:
            ValueError: it is no price list; the text says what is wrong, and where.
        """
        if text is None:
            text = files("batchdrop.pricing").joinpath("prices.json").read_bytes()
        if len(text) > MAX_SIZE:
            raise ValueError(f"not a price list: it has more than {MAX_SIZE:,} bytes")
        try:
            return msgspec.json.decode(text, type=cls)
        # msgspec makes its own error of a ValueError in __post_init__.
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
            raise ValueError(f"not a price list: {exc}") from exc

    def __post_init__(self) -> None:
        if re.fullmatch("[A-Z]{3}", self.currency) is None:
            raise ValueError("currency is no code of three letters, such as USD")
        for entry in self.prices:
            named = ", ".join(entry.models)
            if not entry.models or not entry.sources:
                raise ValueError(f"an entry needs models and sources ({named})")
            if missing := set(entry.sources) - set(self.sources):
                raise ValueError(f"sources has no {min(missing)} ({named})")
        table = self._table()
        for model, entries in table.items():
            for one, other in combinations(entries, 2):
                if one.overlaps(other):
                    raise ValueError(f"{model} has two prices for the same day")
        for alias, model in self.aliases.items():
            if model not in table:
                raise ValueError(f"the alias {alias} is of {model}, which has no price")

    def find(
        self, model: str, *, backend: str, location: str, day: date
    ) -> Price | Unpriced:
        """
        Finds the price of a model.

        Args:
            model: in any spelling: a name, a version of it, or an alias. For an answer,
                the model that it names: retired ones are answered by others. Where that
                is announced, the price is that of the model which answers.
            location: of Vertex AI; the Developer API has none.
            day: on which the tokens are used (UTC).
        """
        table, name = self._table(), ""
        for candidate in _names(model):
            name = answering(candidate, backend, day)
            name = self.aliases.get(name, name)
            if name in table:
                break
            if why := self.unknown.get(name):
                return Unpriced(f"{name}: {why}")
        else:
            return self._without(short_model(model)[:100])
        entries = [one for one in table[name] if one.backend in (None, backend)]
        if not entries:
            return self._without(f"{name} on {_BACKENDS.get(backend, backend)}")
        valid = [one for one in entries if one.since <= day <= one.until]
        if not valid:
            return self._without(f"{name} on {day}")
        factor: Decimal | None = Decimal(1)
        if backend == Backend.VERTEX and location != "global":
            factor = valid[0].elsewhere
        if factor is None:
            return self._without(f"{name} outside the location global")
        return Price(model=name, entry=valid[0], factor=factor)

    def _without(self, what: str) -> Unpriced:
        return Unpriced(f"the prices of {self.as_of} have none for {what}")

    def _table(self) -> dict[str, list[Entry]]:
        """The entries by model."""
        table: dict[str, list[Entry]] = {}
        for entry in self.prices:
            for model in entry.models:
                table.setdefault(model, []).append(entry)
        return table


def _names(model: str) -> Iterator[str]:
    """
    The names under which a list may have a model, the longest first:

        gemini-3.8-flash-001                  gemini-3.8-flash
        gemini-4-argon-preview-09-2026        gemini-4-argon-preview, gemini-4-argon
        claude-haiku-4-5@20251001             claude-haiku-4-5
        gpt-oss-120b-maas                     gpt-oss-120b
    """
    name = short_model(model)
    yield name
    base = _VERSION.sub("", name.removesuffix("-maas"))
    if base != name:
        yield base
        if base.endswith("-preview"):
            yield base.removesuffix("-preview")
