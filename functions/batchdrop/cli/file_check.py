"""`batchdrop check`: a file's check for people, and for programs."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import IO, TYPE_CHECKING

import msgspec

from batchdrop.errors import BatchdropError
from batchdrop.jobs.values import Location
from batchdrop.options import readers
from batchdrop.options.configuration import wire_config
from batchdrop.preflight import ANSWERED, LINE_LIMIT, Checker, Rules
from batchdrop.preflight.estimate import Estimate, Estimator, Prices
from batchdrop.preflight.excerpts import excerpt
from batchdrop.preflight.retirements import retirement
from batchdrop.rows import RowError
from batchdrop.storage import Storage
from batchdrop.stored import split_uri

if TYPE_CHECKING:
    from rich.console import Console

#: Bytes read at a time.
CHUNK = 1024 * 1024
#: A line's text is kept for showing up to this length.
SHOWN = 200_000
#: Of each error. Its place is always the one file.
_TOLD = ("line", "path", "code", "message", "fix")


class CanNotCheck(Exception):
    """The file, or an option, can't be used; the text says which and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What there is to say of a file."""

    file: str
    rules: Rules
    rows: int = 0
    bad_rows: int = 0
    fixed: int = 0
    answered: int = 0  #: rows with an answer, which were left out
    found: int = 0  #: errors, of which the first are kept
    errors: list[tuple[RowError, str]] = field(default_factory=list)  #: with the line
    warning: str = ""  #: about the model, with which a job can be made all the same
    estimate: Estimate
    output: Path | None = None

    @property
    def is_good(self) -> bool:
        """Whether a job could be made of it, all rows included."""
        return not self.found and self.rows > 0


def check(
    file: str,
    *,
    backend: str,
    model: str,
    output: Path | None,
    only_unanswered: bool,
    unknown: str,
    places: tuple[str, ...],
    prices: bytes | None,
    answer_tokens: int,
    today: date,
    most: int,
    config: str | None = None,
    for_all: bool = False,
) -> Outcome:
    """
    Reads a file to its end, and writes it again, mended, if there is an `output`.

    Args:
        file: a path, or a gs:// address.
        only_unanswered: a row that has an answer isn't written, and no error.
        unknown: "reject" or "allow": members that the API isn't known to have.
        places: gs:// prefixes that media may come from; none: anywhere.
        today: the day whose prices count.
        most: how many errors are kept.
        config: a generation configuration, which is merged into each row as a job
            does, and counted with it: JSON, or the path of a file with it.
        for_all: it is a deployment's, and not for a model that takes none.

    Raises:
        CanNotCheck: the file can't be read, the output written, or an option used.
    """
    if file.endswith(".job.json"):
        raise CanNotCheck(
            f"{file} is a manifest, not a file of rows; see what it chooses with "
            f"`batchdrop routes explain {Path(file).name} --manifest {file}`"
        )
    try:
        model = readers.model(model, backend)
        rules = Rules(
            backend=backend,
            model=model,
            fix=output is not None,
            unknown=unknown,
            sources=tuple(map(Location.parse, places)) if places else None,
        )
        if config is not None and (rules.family.config or not for_all):
            rules = replace(rules, generation_config=_merged(config, rules))
        estimator = Estimator(rules, Prices.load(prices), answer_tokens, today)
    except ValueError as exc:
        raise CanNotCheck(str(exc)) from exc
    checker, found, answered = Checker(rules), 0, 0
    errors: list[tuple[RowError, str]] = []
    try:
        with ExitStack() as stack:
            mended = stack.enter_context(_written(output)) if output else None
            for block in checker.blocks(_chunks(file)):
                estimator.add(block)
                left_out = set()
                for refused in block.refused:
                    if only_unanswered and refused.row_errors[0].code == ANSWERED:
                        left_out.add(refused.line)
                        continue
                    found += len(refused.row_errors)
                    text = refused.text[:SHOWN].decode(errors="backslashreplace")
                    for row_error in refused.row_errors[: max(0, most - len(errors))]:
                        errors.append((row_error, text))
                answered += len(left_out)
                if mended is not None:
                    for number, line in enumerate(block.lines, block.first):
                        # A line over the limit was cut.
                        if number not in left_out and len(line) <= LINE_LIMIT:
                            mended.write(block.mended.get(number, line) + b"\n")
    except FileExistsError as exc:
        raise CanNotCheck(f"{output} is there already; choose another name") from exc
    except OSError as exc:
        raise CanNotCheck(f"{exc.filename or file}: {exc.strerror or exc}") from exc
    except BatchdropError as exc:
        raise CanNotCheck(f"{file}: {exc}") from exc
    rows = checker.rows
    return Outcome(
        file=file,
        rules=rules,
        rows=rows.total - answered,
        bad_rows=rows.refused - answered,
        fixed=rows.fixed,
        answered=answered,
        found=found,
        errors=errors,
        warning=str(retirement(model, backend) or ""),
        estimate=estimator.result(),
        output=output,
    )


def _merged(config: str, rules: Rules) -> bytes | None:
    """
    A configuration as a job merges it.

    Raises:
        ValueError: it can't be read, or no row could be sent with it.
    """
    if not rules.family.config:
        raise ValueError(
            f"a generation configuration is for Gemini; {rules.model} takes none: "
            "write the parameters into each request"
        )
    try:
        text = config if config.lstrip()[:1] == "{" else Path(config).read_text()
        made = wire_config(text, rules, private=False)
    except OSError as exc:
        why = f"{exc.strerror or exc}: {config}; write JSON, or the path of a file"
        raise ValueError(f"the generation configuration: {why}") from exc
    except ValueError as exc:
        raise ValueError(f"the generation configuration: {exc}") from exc
    return made.encode() if made else None


def as_json(outcome: Outcome) -> str:
    """One object; `errors` has `line`, `path`, `code`, `message` and `fix` of each."""
    said = {
        "file": outcome.file,
        "backend": outcome.rules.backend,
        "model": outcome.rules.model,
        "rows": outcome.rows,
        "bad_rows": outcome.bad_rows,
        "fixed": outcome.fixed,
        "answered": outcome.answered,
        "errors_found": outcome.found,
        "errors": [
            {name: getattr(row_error, name) for name in _TOLD}
            for row_error, _ in outcome.errors
        ],
        "warnings": [outcome.warning] if outcome.warning else [],
        "estimate": asdict(outcome.estimate),
    }
    return msgspec.json.encode(said).decode()


def show(outcome: Outcome, console: "Console | None" = None) -> None:
    """Prints a report in which the offending text is marked."""
    from rich.console import Console
    from rich.text import Text

    out = console or Console(highlight=False, soft_wrap=True)
    for row_error, text in outcome.errors:
        head = Text(f"{outcome.file}:{row_error.line}", "bold")
        head.append(f"  {row_error.path}" if row_error.path else "", "cyan")
        head.append(f"  {row_error.code}", "red")
        out.print(head)
        piece, start, end = excerpt(text, row_error)
        shown = Text(f"    {piece}")
        shown.stylize("bold red", start + 4, end + 4)
        out.print(shown)
        out.print(Text("    " + " " * start + "^" * (end - start), "red"))
        out.print(Text(f"    {row_error.message}"))
        out.print(Text(f"    {row_error.fix}", "green"), end="\n\n")
    if outcome.found > len(outcome.errors):
        out.print(f"and {outcome.found - len(outcome.errors):,} more errors\n")
    if outcome.warning:
        out.print(Text(f"warning: {outcome.warning}", "yellow"))
    for line in _summary(outcome):
        out.print(Text(line))


def _summary(outcome: Outcome) -> Iterator[str]:
    guess = outcome.estimate
    family = outcome.rules.family
    if outcome.found:
        yield f"{outcome.bad_rows:,} of {outcome.rows:,} rows are bad"
    elif not outcome.rows:
        yield "there are no rows"
    else:
        yield f"{outcome.rows:,} rows, none of them bad, for {family.name}"
    if outcome.output:
        mended = "1 row was" if outcome.fixed == 1 else f"{outcome.fixed:,} rows were"
        what = "all lines"
        if outcome.answered:
            what = f"all lines but {outcome.answered:,} that have an answer"
        yield f"{mended} mended; {outcome.output} has {what}"
    if not guess.rows:
        return
    parts = "one job" if guess.parts == 1 else f"{guess.parts} jobs"
    yield (
        f"the good ones are {guess.bytes:,} bytes and about {guess.tokens:,} "
        f"token{'s' * (guess.tokens != 1)}, in {parts}"
    )
    if guess.cost is None:
        yield f"no price of {outcome.rules.model} is known; give a list with --prices"
    else:
        # A few rows don't cost nothing.
        about = "under 0.01" if 0 < guess.cost < 0.01 else f"about {guess.cost:,.2f}"
        yield (
            f"{about} {guess.currency} by the prices of "
            f"{guess.prices_as_of}, if the answers take {guess.answer_tokens:,} tokens"
        )


@contextmanager
def _written(output: Path) -> Iterator[IO[bytes]]:
    """A new file, which is not left behind half written."""
    with output.open("xb") as file:
        try:
            yield file
        except BaseException:
            output.unlink()
            raise


def _chunks(file: str) -> Iterator[bytes]:
    """The bytes of a file, or of an object as it is stored."""
    if not file.startswith("gs://"):
        with Path(file).open("rb") as source:
            yield from iter(lambda: source.read(CHUNK), b"")
        return
    try:
        from google.cloud import storage
    except ImportError as exc:
        raise CanNotCheck(
            f"{file}: to read it needs more: pip install 'batchdrop[storage]'"
        ) from exc
    from google.auth.exceptions import GoogleAuthError

    objects = Storage(storage.Client)
    try:
        drop = objects.find(*split_uri(file))
        if drop is None:
            raise CanNotCheck(f"{file} is not there")
        yield from objects.read(drop)
    except (GoogleAuthError, ValueError) as exc:
        raise CanNotCheck(f"{file}: {exc}") from exc
