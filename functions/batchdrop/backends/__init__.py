"""The batch APIs as the worker sees them: what differs between the backends."""

import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from datetime import datetime
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from batchdrop.batches import (
    BatchesError,
    BatchJob,
    ClientError,
    JobState,
    OutputInfo,
    ServerError,
    TransportError,
    is_terminal,
)
from batchdrop.jobs.codes import ErrorCode
from batchdrop.jobs.derived import OUTPUT_FOR
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import (
    OWN_LABELS,
    Batch,
    Problem,
    Spec,
    Staging,
    Stats,
    endpoint_name,
)
from batchdrop.quoting import unquoted

log = logging.getLogger(__name__)

T = TypeVar("T")

#: How many jobs one page of a list asks for.
PAGE = 100
#: After this many requests in a row without an answer an endpoint is left alone until
#: the next tick.
SILENCES = 3
#: The states in which a batch takes up capacity at the API.
UNDER_WAY = (
    JobState.QUEUED,
    JobState.PENDING,
    JobState.RUNNING,
    JobState.CANCELLING,
    JobState.PAUSED,
    JobState.UPDATING,
)


#: Batches with our marks, each after the job that it names.
Listed = list[tuple[str, BatchJob]]
#: A page of a list, and the token of the next one; None at the end.
ListPage = tuple[Listed, str | None]


class Backend(Protocol):
    """
    What the worker asks of the API at one endpoint: a location of Vertex AI, or the
    Developer API. Every method raises a BatchesError for an error of the API,
    or for no answer.
    """

    def is_staged(self, job: Job) -> bool:
        """Whether the staged rows lie where the API reads them."""

    def stage(self, job: Job) -> None:
        """Brings the rows there. Only the holder whose epoch the staging has may do it:
        what another one finishes late would lie there again after a fence."""

    def withdraw(self, job: Job, epochs: Iterable[int]) -> None:
        """Takes away what `stage` brought for these epochs."""

    def create(self, job: Job) -> Batch:
        """Sends the request that makes a paid batch."""

    def search(self, job: Job) -> list[Batch]:
        """All batches of this job, on every page. A label or name alone proves nothing,
        as anybody in the project can set one: the input must be our staging."""

    @property
    def has_a_list(self) -> bool:
        """Whether a list says of each batch what asking by name does."""

    def get(self, job: Job) -> Batch:
        """The job's batch, by its name."""

    def read(self, job: Job, answer: BatchJob) -> Batch:
        """What the job keeps of the API's answer."""

    def answers(self, job: Job, write: Callable[[bytes], None]) -> None:
        """Writes the answers of an ended batch that lie in no bucket, as JSONL."""

    def active(self, model: str) -> int:
        """How many batches of a model are under way at the API, of all makers."""

    def ours(
        self, since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, BatchJob]]:
        """All batches with the marks of this deployment, with the job they name: those
        made from `since` to before `until`."""

    def pages(self, since: datetime, token: str | None) -> Iterator[ListPage]:
        """The same by pages, from that of a token, which is valid for this `since`
        only. Call it only where `has_a_list`."""

    def cancel(self, name: str) -> None:
        """Asks a batch to stop."""

    def delete(self, name: str) -> None:
        """Removes a batch that is over; its answers stay."""


class Backends:
    """
    One backend for each endpoint that jobs go to. The lists of the endpoints that the
    deployment chooses are read at every tick. A job that went elsewhere, under older
    choices, is asked for by its batch's name.
    """

    def __init__(
        self, connect: Callable[[str, str], Backend], chosen: Set[tuple[str, str]]
    ) -> None:
        """
        Args:
            connect: makes the backend of a name and location, on first use.
            chosen: the backends and locations of the deployment.
        """
        self._connect = connect
        self._chosen = chosen
        self._made: dict[str, Backend] = {}  #: by endpoint

    def of(self, job: Job) -> Backend:
        """The backend of a job whose options are chosen."""
        assert job.spec is not None
        return self._at(job.spec.backend, job.spec.location)

    def chosen(self) -> dict[str, Backend]:
        """The backends of the deployment by endpoint, the Developer API once."""
        return {endpoint_name(*each): self._at(*each) for each in sorted(self._chosen)}

    def for_ticks(self) -> "Backends":
        """The same backends; one that is silent is left alone until the next tick."""
        return _TickBackends(self._at, self._chosen)

    def start_tick(self) -> None:
        """Asks all of them again, also those that were silent in the last tick."""

    def is_silent(self, job: Job, *methods: str) -> bool:
        """Whether the backend of a job is left alone in this tick for any of these
        methods."""
        return False

    def _at(self, backend: str, location: str) -> Backend:
        endpoint = endpoint_name(backend, location)
        # Two threads may both make one: either will do.
        return self._made.setdefault(
            endpoint, self._made.get(endpoint) or self._connect(backend, location)
        )


class _TickBackends(Backends):
    """Backends whose silences are counted: see `_Attended`."""

    def __init__(
        self, connect: Callable[[str, str], Backend], chosen: Set[tuple[str, str]]
    ) -> None:
        def attended(backend: str, location: str) -> Backend:
            endpoint = endpoint_name(backend, location)
            one = _Attended(connect(backend, location), endpoint)
            self._attended.append(one)
            return cast("Backend", one)

        super().__init__(attended, chosen)
        self._attended: list[_Attended] = []

    def start_tick(self) -> None:
        for one in self._attended:
            one.start_tick()

    def is_silent(self, job: Job, *methods: str) -> bool:
        if job.spec is None:
            return False
        attended = cast("_Attended", self.of(job))
        return any(attended.is_silent(method) for method in methods)


class _Attended:
    """
    A backend that stops calling a method in this tick after SILENCES calls in a row
    without an answer: each call lasts as long as the time-out, and all other endpoints
    wait for it. Each method is counted by itself, as one may hang alone.
    """

    def __init__(self, backend: Backend, endpoint: str) -> None:
        self._backend = backend
        self._endpoint = endpoint
        self._silences: Counter[str] = Counter()

    def start_tick(self) -> None:
        self._silences.clear()

    def is_silent(self, method: str) -> bool:
        return self._silences[method] >= SILENCES

    def ours(
        self, since: datetime, until: datetime | None = None
    ) -> Iterator[tuple[str, BatchJob]]:
        return self._each(self._backend.ours(since, until))

    def pages(self, since: datetime, token: str | None) -> Iterator[ListPage]:
        return self._each(self._backend.pages(since, token))

    def _each(self, found: Iterator[T]) -> Iterator[T]:
        while (one := self._ask("ours", partial(next, found, None))) is not None:
            yield one

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._backend, name)
        if name in ("has_a_list", "read"):
            return attribute  # nothing is sent
        return partial(self._ask, name, attribute)

    def _ask(self, method: str, ask: Callable[..., Any], *given: Any) -> Any:
        if self.is_silent(method):
            raise TransportError(
                f"{self._endpoint} gave no answer {SILENCES} times; the next tick asks "
                "again",
                sent=False,
            )
        try:
            answer = ask(*given)
        except BatchesError as exc:
            late = isinstance(exc, ServerError) and exc.code == 504
            if not late and not isinstance(exc, TransportError):
                self._silences[method] = 0
                raise
            self._silences[method] += 1
            if self._silences[method] == SILENCES:
                log.error(
                    "endpoint left alone",
                    extra={
                        "event": "endpoint.silent",
                        "endpoint": self._endpoint,
                        "request": method,
                    },
                )
            raise
        self._silences[method] = 0
        return answer


def marks(job: Job) -> dict[str, str]:
    """The labels by which a batch is known to be ours; users can't set their keys."""
    return {
        name: text
        for name, text in (job.spec.labels if job.spec else {}).items()
        if name.startswith(OWN_LABELS)
    }


def is_not_allowed(error: BatchesError) -> bool:
    """
    Whether the deployment lacks a right, and the job is not at fault. A key that the
    Developer API doesn't know is a 400 like a bad request, with a reason of its own.
    """
    if not isinstance(error, ClientError):
        return False
    details = error.details if isinstance(error.details, list) else []
    reasons = [detail.get("reason") for detail in details if isinstance(detail, dict)]
    return error.code in (401, 403) or "API_KEY_INVALID" in reasons


def explained(batch: Batch) -> Problem | None:
    """
    The problem of a batch that a person can fix, and how: code 7, the service agent may
    not read the rows or write the answers; or a success that names no answers.
    """
    if batch.awaits_output:
        return Problem(
            code=ErrorCode.NO_OUTPUT,
            message=f"{batch.name} has succeeded, but {OUTPUT_FOR} after its end the "
            "API doesn't say where the answers are. They are paid: check whether it "
            "does by now before you run the job again",
        )
    if batch.error is None or batch.error.code != 7:
        return None
    project = re.match(r"projects/([^/]+)/", batch.name)
    number = project[1] if project else "PROJECT_NUMBER"
    return Problem(
        code=ErrorCode.NOT_ALLOWED,
        message=f"{batch.error.message}. Grant the service agent "
        f"service-{number}@gcp-sa-aiplatform.iam.gserviceaccount.com "
        "roles/storage.objectViewer on the bucket of BATCHDROP_WORK and "
        "roles/storage.objectUser on that of BATCHDROP_OUTPUT",
    )


def chosen(job: Job) -> tuple[Spec, Staging]:
    assert job.spec is not None
    assert job.staging is not None
    return job.spec, job.staging


def batch_of(answer: BatchJob, source: str | None, epoch: int | None) -> Batch:
    stats, error, info = answer.completion_stats, answer.error, answer.output_info
    return Batch(
        name=answer.name,
        state=answer.state,
        terminal=is_terminal(answer.state),
        known=answer.state in JobState.__members__,
        source=source,
        epoch=epoch,
        create_time=answer.create_time,
        start_time=answer.start_time,
        end_time=answer.end_time,
        update_time=answer.update_time,
        error=Problem(code=error.code or 0, message=unquoted(error.message or ""))
        if error
        else None,
        completion_stats=Stats(
            successful=stats.successful_count,
            failed=stats.failed_count,
            incomplete=stats.incomplete_count,
        )
        if stats
        else None,
        has_answers=answer.dest is not None and answer.dest.has_answers,
        responses_file=answer.dest.file_name if answer.dest else None,
        output_directory=info.gcs_output_directory if info else None,
        output_table=_output_table(info) if info else None,
    )


def _output_table(info: OutputInfo) -> str | None:
    """The table, or as much of its name as the API gives."""
    dataset, table = info.bigquery_output_dataset, info.bigquery_output_table
    return f"{dataset}.{table}" if dataset and table else dataset or table
