"""Checks a file against the rules of a job; reports to people or programs."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from batchdrop.cli.files import CanNotRead, chunks, new_file
from batchdrop.cli.past import Past
from batchdrop.errors import BatchdropError
from batchdrop.jobs.values import Estimate, Location
from batchdrop.options import readers
from batchdrop.options.configuration import wire_config
from batchdrop.options.names import why_ignored
from batchdrop.preflight import ANSWERED, Checker, Rules, is_too_long
from batchdrop.preflight.estimate import Estimator, batches_of
from batchdrop.preflight.excerpts import excerpt
from batchdrop.preflight.retirements import retirement
from batchdrop.pricing import Prices, estimated
from batchdrop.rows import RowError, agreed, counted, some_are

if TYPE_CHECKING:
    from rich.console import Console

#: Bytes of a line that a report keeps.
SHOWN = 200_000
#: Members of a row error that a report has. Its place is always the one file.
_MEMBERS = ("line", "path", "code", "message", "fix")


class CanNotCheck(Exception):
    """The file or an option can't be used; the text says which, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in a file."""

    file: str
    rules: Rules
    rows: int = 0
    bad_rows: int = 0
    fixed: int = 0
    answered: int = 0  #: rows that were left out because they have an answer
    found: int = 0  #: errors, including those that aren't kept
    errors: list[tuple[RowError, str]] = field(default_factory=list)  #: with the line
    warnings: tuple[str, ...] = ()  #: of the model and the name; they stop no job
    bytes: int  #: of the good rows, as they are staged
    parts: int  #: how many batches they come to
    estimate: Estimate
    past: Past | None = None  #: of the deployment, by which the estimate is corrected
    unread: str = ""  #: why that can't be read
    output: Path | None = None

    @property
    def good_rows(self) -> int:
        """How many rows can be sent."""
        return self.rows - self.bad_rows

    @property
    def is_good(self) -> bool:
        """True if a job can be made of it with all its rows."""
        return not self.found and self.rows > 0


def check(
    file: str,
    *,
    backend: str,
    model: str,
    location: str,
    output: Path | None,
    only_unanswered: bool,
    unknown: str,
    places: tuple[str, ...],
    prices: Prices,
    answer_tokens: int,
    today: date,
    most: int,
    thinking_tokens: int = 0,
    config: str | None = None,
    for_all: bool = False,
) -> Report:
    """
    Reads a whole file. Writes a fixed copy if there is an `output`.

    Args:
        file: a path, or a gs:// address.
        location: of Vertex AI, whose prices count.
        only_unanswered: leave out rows that have an answer; they are no errors.
        unknown: "reject" or "allow" members that the API isn't known to have.
        places: gs:// prefixes that media may come from; empty for anywhere.
        today: the day whose prices count.
        most: how many errors to keep.
        config: a generation configuration, as JSON or the path of a file. It is
            merged into each row and counted, as in a job.
        for_all: the configuration is a deployment's: ignore it for a model that
            takes none.

    Raises:
        CanNotCheck: the file can't be read, the output can't be written, or an option
            is wrong.
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
        estimator = Estimator(
            rules.family, answer_tokens=answer_tokens, thinking_tokens=thinking_tokens
        )
    except ValueError as exc:
        raise CanNotCheck(str(exc)) from exc
    return report_of(
        file,
        rules,
        estimator,
        output=output,
        only_unanswered=only_unanswered,
        location=location,
        prices=prices,
        today=today,
        most=most,
    )


def report_of(
    file: str,
    rules: Rules,
    estimator: Estimator,
    *,
    location: str,
    prices: Prices,
    today: date,
    most: int,
    output: Path | None = None,
    only_unanswered: bool = False,
) -> Report:
    """
    Reads a whole file by the rules of a job; the rest is as for `check`.

    Raises:
        CanNotCheck: the file can't be read, or the output can't be written.
    """
    backend, model = rules.backend, rules.model
    checker, found, answered, size = Checker(rules), 0, 0, 0
    errors: list[tuple[RowError, str]] = []
    try:
        with ExitStack() as stack:
            mended = stack.enter_context(new_file(output)) if output else None
            for block in checker.blocks(chunks(file)):
                estimator.add(block.staged)
                size += len(block.staged)
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
                        # A line that is too long was cut.
                        if number not in left_out and not is_too_long(line):
                            line = block.mended.get(number, line)
                            mended.write(line.removesuffix(b"\n") + b"\n")
    except FileExistsError as exc:
        raise CanNotCheck(f"{output} exists already; choose another name") from exc
    except OSError as exc:
        raise CanNotCheck(f"{exc.filename or file}: {exc.strerror or exc}") from exc
    except CanNotRead as exc:
        raise CanNotCheck(str(exc)) from exc
    except BatchdropError as exc:
        raise CanNotCheck(f"{file}: {exc}") from exc
    rows = checker.rows
    tokens = estimator.tokens(rows.accepted, size)
    return Report(
        file=file,
        rules=rules,
        rows=rows.total - answered,
        bad_rows=rows.refused - answered,
        fixed=rows.fixed,
        answered=answered,
        found=found,
        errors=errors,
        warnings=tuple(_warnings(output or file, model, backend)),
        bytes=size,
        parts=batches_of(rules.family, rows.accepted, size),
        estimate=estimated(
            tokens,
            rows.accepted,
            prices,
            model=model,
            backend=backend,
            location=location,
            day=today,
        ),
        output=output,
    )


def _warnings(file: str | Path, model: str, backend: str) -> Iterator[str]:
    """What stops no job, but a person should know before the file is dropped."""
    if retired := retirement(model, backend):
        yield str(retired)
    # What a shell gives in place of a file, such as /dev/fd/63, has no name to drop.
    is_one = str(file).startswith("gs://") or Path(file).is_file()
    if is_one and (why := why_ignored(str(file))):
        yield f"a dropped file of this name is ignored: {why}"


def _merged(config: str, rules: Rules) -> bytes | None:
    """
    The configuration as a job merges it; None if it is empty.

    Raises:
        ValueError: it can't be read, or it would make every row wrong.
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


def members(report: Report) -> dict[str, object]:
    """
    A report for JSON: each of `errors` has line, path, code, message and fix. The
    estimate has `tokens` and a `cost` as jobs have it, or null and `no_cost`, the
    reason. If a deployment has a past, `past` has the number of its `jobs` that count,
    the `ratio` of their cost to their estimates, and the `micros` to expect by that.
    """
    past: dict[str, object] = {}
    if report.past and report.estimate.cost:
        past = {
            "jobs": report.past.jobs,
            "ratio": report.past.ratio,
            "micros": report.past.corrected(report.estimate.cost).micros,
        }
    return {
        "file": report.file,
        "backend": report.rules.backend,
        "model": report.rules.model,
        "rows": report.rows,
        "bad_rows": report.bad_rows,
        "fixed": report.fixed,
        "answered": report.answered,
        "errors_found": report.found,
        "errors": [
            {name: getattr(row_error, name) for name in _MEMBERS}
            for row_error, _ in report.errors
        ],
        "warnings": list(report.warnings),
        "estimate": {
            "rows": report.good_rows,
            "bytes": report.bytes,
            "parts": report.parts,
            **asdict(report.estimate),
            **({"past": past} if past else {}),
        },
    }


def show(report: Report, console: "Console | None" = None) -> None:
    """Prints a report that marks the wrong part of each line."""
    from rich.console import Console
    from rich.text import Text

    out = console or Console(highlight=False, soft_wrap=True)
    for row_error, text in report.errors:
        head = Text(f"{report.file}:{row_error.line}", "bold")
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
    if report.found > len(report.errors):
        out.print(f"and {counted(report.found - len(report.errors), 'more error')}\n")
    for warning in report.warnings:
        out.print(Text(f"warning: {warning}", "yellow"))
    for line in _summary(report):
        out.print(Text(line))


def _summary(report: Report) -> Iterator[str]:
    guess = report.estimate
    family = report.rules.family
    if report.found:
        yield f"{some_are(report.bad_rows, report.rows, 'row')} bad"
    elif not report.rows:
        yield "there are no rows: a job of it would be rejected"
    else:
        good = agreed(report.rows, "is", "are")
        yield f"{counted(report.rows, 'row')} {good} good, for {family.name}"
    if report.output:
        mended = agreed(report.fixed, "was mended", "were mended")
        what = "all lines"
        if report.answered:
            have = agreed(report.answered, "has", "have")
            what = f"all lines but {report.answered:,} that {have} an answer"
        yield f"{counted(report.fixed, 'row')} {mended}; {report.output} has {what}"
    if not report.bytes:
        return
    parts = agreed(report.parts, "one job", f"{report.parts:,} jobs")
    prompt = guess.tokens.prompt
    yield (
        f"the good ones are {report.bytes:,} bytes and about "
        f"{counted(prompt, 'token')}, in {parts}"
    )
    if guess.cost is None:
        yield f"the cost isn't known: {guess.no_cost}; give a list with --prices"
        return
    about = "" if guess.cost.is_small else "about "
    answers = f"if the answers take {counted(guess.tokens.output, 'token')}"
    if guess.tokens.thoughts:
        answers += f" and their thoughts {guess.tokens.thoughts:,}"
    yield f"{about}{guess.cost}, {answers}"
    if report.past:
        past = report.past
        jobs = agreed(past.jobs, "job has", f"{past.jobs:,} jobs have")
        yield (
            f"the last {jobs} cost {past.ratio:.2f} times the estimate: by that, "
            f"{past.corrected(guess.cost)}"
        )
    elif report.unread:
        yield f"what jobs have cost before can't be read: {report.unread}"
