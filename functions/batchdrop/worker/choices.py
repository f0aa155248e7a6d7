"""A job's options, checked against the size of its document and its limits."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

from batchdrop.errors import BadChoice
from batchdrop.jobs.codes import ErrorCode
from batchdrop.jobs.job import Job
from batchdrop.jobs.sizes import MAX_CHOSEN, size_of
from batchdrop.jobs.values import (
    MAX_OBJECT_NAME,
    Estimate,
    Input,
    Location,
    Part,
    Problem,
    Spec,
    micros_of,
)
from batchdrop.options.settings import Settings
from batchdrop.preflight import Rules
from batchdrop.stored import split_uri
from batchdrop.worker.reading import Limits

#: The report's name, under the job's output.
REPORT = "rejected.jsonl"
#: Bytes that are kept for names under a job's output: `part-0299/`, and what Vertex AI
#: writes there, `prediction-model-2026-03-01T00:00:00.000000Z/predictions.jsonl`.
BELOW_OUTPUT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """All that was chosen for a job."""

    spec: Spec
    origin: dict[str, str]
    manifest: str | None
    inputs: tuple[Input, ...]

    def on(self, job: Job) -> Job:
        return job.chosen(self.spec, self.origin, self.manifest, self.inputs)

    def check(self) -> None:
        """
        Raises:
            BadChoice: it leaves no room for the job's progress in its document.
        """
        sizes = {name: size_of(value) for name, value in asdict(self.spec).items()}
        sizes["src"] = size_of(map(asdict, self.inputs))
        sizes["who has chosen it"] = size_of(self.origin)
        if (size := sum(sizes.values())) > MAX_CHOSEN:
            most = max(sizes, key=lambda name: sizes[name])
            raise BadChoice(
                ErrorCode.OVER_LIMIT,
                f"what is chosen for the job takes {size:,} bytes of its document, and "
                f"may take {MAX_CHOSEN:,}; the most, {sizes[most]:,}, is: {most}",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Ceilings:
    """The limits on what may be sent of a file, and on a day."""

    settings: Settings

    def over_limit(self, made: Choices, rows: int, size: int) -> Problem | None:
        """The problem if this is more than may be sent of one file."""
        for what, found, limit, who in self._limits_of_a_file(made, rows, size):
            if found > limit:
                message = f"more than {limit:,} {what} would be sent, over {who}"
                return Problem(code=ErrorCode.OVER_LIMIT, message=message)
        return None

    def _limits_of_a_file(
        self, made: Choices, rows: int, size: int
    ) -> Iterator[tuple[str, int, int, str]]:
        """Each limit that is set: what it counts, how many were found, and its name."""
        for what, found, limit, name in (
            ("rows", rows, made.spec.max_rows, "max_rows"),
            ("bytes", size, made.spec.max_bytes, "max_bytes"),
        ):
            if limit is not None:
                who = made.origin[name]
                of = who if who.startswith("BATCHDROP_") else f"{name} of {who}"
                yield what, found, limit, f"{of}={limit}"

    def _limits_of_a_day(
        self, rows: int, size: int
    ) -> Iterator[tuple[str, int, int, str]]:
        for what, found, limit in (
            ("rows", rows, self.settings.max_rows_per_day),
            ("bytes", size, self.settings.max_bytes_per_day),
        ):
            if limit is not None:
                name = f"BATCHDROP_MAX_{what.upper()}_PER_DAY"
                yield what, found, limit, f"{name}={limit}"

    def refuse_uncounted(self, made: Choices) -> None:
        """
        Refuses a table where a limit is set, as its rows can't be counted.

        Raises:
            BadChoice: a limit is set.
        """
        for _, _, who in self._limits_of_cost(made):
            raise BadChoice(
                ErrorCode.NO_ESTIMATE,
                "the cost of the table or dataset of src can't be estimated, and "
                f"{who} limits it; write its rows into a file, and drop that",
            )
        limits = [*self._limits_of_a_file(made, 0, 0), *self._limits_of_a_day(0, 0)]
        if not limits:
            return
        what, _, _, who = limits[0]
        raise BadChoice(
            ErrorCode.NOT_POSSIBLE,
            f"the {what} of the table or dataset of src can't be counted before they "
            f"are sent, and {who} limits them; write its rows into a file, and drop "
            "that",
        )

    def _limits_of_cost(self, made: Choices) -> Iterator[tuple[int, bool, str]]:
        """Each ceiling in millionths, whether it is a day's, and its name."""
        spec, day = made.spec, "max_cost_per_day"
        if spec.max_cost is not None:
            yield self._of_cost(spec.max_cost, "max_cost", made.origin["max_cost"])
        if spec.ceiling and spec.max_cost_per_day is not None:
            yield self._of_cost(spec.max_cost_per_day, day, made.origin[day])
        if (most := self.settings.max_cost_per_day) is not None:
            yield self._of_cost(most, day, "BATCHDROP_MAX_COST_PER_DAY")

    def _of_cost(self, most: float, name: str, who: str) -> tuple[int, bool, str]:
        of = who if who.startswith("BATCHDROP_") else f"{name} of {who}"
        return micros_of(most), name != "max_cost", f"{of}={most:.15g}"

    def over_cost(
        self, made: Choices, parts: list[Part], spent: int = 0
    ) -> Problem | None:
        """
        The problem if the file, or one of its parts, is over a ceiling on cost.

        Args:
            spent: millionths that the file has cost already.
        """
        ceilings = list(self._limits_of_cost(made))
        if not ceilings:
            return None
        estimates = [part.estimate for part in parts if part.estimate]
        whole = Estimate.total(estimates)
        if whole.cost is None:
            return Problem(
                code=ErrorCode.NO_ESTIMATE,
                message=f"{ceilings[0][2]} limits the cost, which can't be estimated: "
                f"{whole.no_cost}; write a price into the list that BATCHDROP_PRICES "
                "names",
            )
        costs = [one.cost for one in estimates if one.cost]
        largest = max(costs, key=lambda cost: cost.micros)
        for most, is_of_day, who in ceilings:
            cost = largest if is_of_day else whole.cost
            before = 0 if is_of_day else spent
            if cost.micros + before > most:
                of_one = " in one of its parts" if is_of_day and len(parts) > 1 else ""
                and_spent = f", after {replace(cost, micros=before)}" if before else ""
                return Problem(
                    code=ErrorCode.OVER_LIMIT,
                    message=f"the estimate is {cost}{of_one}{and_spent}, over {who}",
                )
        return None

    def over_day(self, parts: list[Part]) -> Problem | None:
        """
        The problem if no day will ever have room.

        Args:
            parts: what each job of the file has to send.
        """
        of_one = "" if len(parts) == 1 else " in one of its parts"
        rows = max(part.staging.rows for part in parts)
        size = max(part.staging.bytes for part in parts)
        for what, most, limit, who in self._limits_of_a_day(rows, size):
            if most > limit:
                return Problem(
                    code=ErrorCode.OVER_LIMIT,
                    message=f"{most:,} {what}{of_one}, over {who}; smaller parts, by "
                    f"BATCHDROP_PART_{what.upper()}, can go over several days",
                )
        return None


def hold_inputs(inputs: list[Input]) -> None:
    """
    Raises:
        BadChoice: the addresses are too many for a job's document.
    """
    if (size := size_of(map(asdict, inputs))) > MAX_CHOSEN:
        raise BadChoice(
            ErrorCode.OVER_LIMIT,
            f"the {len(inputs):,} addresses in src take {size:,} bytes of the job's "
            f"document, and may take {MAX_CHOSEN:,}; write several manifests, with "
            "some of them each",
        )


def hold_name(name: str, output: str) -> None:
    """
    Args:
        name: the dropped object's.
        output: the folder of its results, whose name contains it.

    Raises:
        BadChoice: objects in that folder would have too long names.
    """
    size = len(split_uri(output)[1].encode())
    most = MAX_OBJECT_NAME - BELOW_OUTPUT
    if size <= most:
        return
    dropped = len(name.encode())
    raise BadChoice(
        ErrorCode.NAME_TOO_LONG,
        f"the name has {dropped:,} bytes and its results' folder {size:,}, of at most "
        f"{most:,}. Drop it under a name of at most {max(0, most - size + dropped):,} "
        "bytes, or choose a shorter destination",
    )


def rules_of(spec: Spec, sources: tuple[Location, ...]) -> Rules:
    """
    How the rows of a job are read.

    Raises:
        ValueError: a generation configuration that can't be merged.
    """
    config = spec.generation_config
    return Rules(
        backend=spec.backend,
        model=spec.model,
        fix=spec.fix,
        unknown=spec.unknown,
        on_invalid=spec.on_invalid,
        max_invalid=spec.max_invalid,
        generation_config=config.encode() if config else None,
        sources=sources,
    )


def limits_of(spec: Spec, rules: Rules) -> Limits:
    """What one batch takes: the API's limits, or less where that was chosen."""
    family = rules.family
    rows = [most for most in (family.rows, spec.part_rows) if most is not None]
    return Limits(
        rows=min(rows, default=None),
        bytes=min(family.bytes, spec.part_bytes or family.bytes),
    )
