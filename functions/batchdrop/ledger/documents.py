"""Jobs and announcements as Firestore documents: encoded, decoded, measured."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

import msgspec

from batchdrop.announcements.message import Announcement
from batchdrop.errors import NotWritable, Unavailable
from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.polled import Stage, tick_at
from batchdrop.jobs.record import VERSION
from batchdrop.jobs.sizes import MAX_COMMIT, MAX_DOCUMENT, size_of
from batchdrop.ready import ready

if TYPE_CHECKING:
    from google.cloud import firestore

log = logging.getLogger(__name__)

T = TypeVar("T")
Readable = TypeVar("Readable", Job, Announcement)

#: Properties of a job that its document has: the times at which policies act, what
#: people look for, and how far parts are.
DERIVED = (
    *("cancel_at", "stall_at", "delete_at", "outcome", "health"),
    *("awaits", "undone_of", "held_of"),
    *("waiting_for", "progress", "listed_at", "listed_as"),
)
#: What to do about documents that an earlier release has left.
TOO_OLD = (
    "deploy the release that wrote it until its jobs are over, or take a new database"
)
#: How many split jobs' common fields an instance keeps in memory.
MAX_KEPT = 100

ready(Job, Announcement)


class Documents:
    """The collections of the ledger, and how a job becomes a document and back."""

    def __init__(
        self,
        connect: Callable[[], "firestore.Client"],
        event_source: str,
        ttl: timedelta = timedelta(days=90),
        costs_ttl: timedelta = timedelta(days=400),
        patience: float | None = None,
    ) -> None:
        """
        Args:
            connect: returns the client; first called when it is needed.
            event_source: the CloudEvents `source` of announcements.
            ttl: how long documents are kept: a job's after its end, an announcement's
                after it was published. Written as `expire_at`, for Firestore's TTL
                policies.
            costs_ttl: the same of what the reports on cost add up.
            patience: how many seconds a read waits for Firestore's answer. None: as
                long as Google's library does, which is minutes.
        """
        self._connect = connect
        self._ttl = ttl
        self._costs_ttl = costs_ttl
        self._patience = patience
        self._event_source = event_source
        self._common: dict[str, Common] = {}  #: by the ids of split jobs
        self.announcements_made = 0  #: by this instance
        #: The stages of a tick for which a write of this instance has made a job due.
        self.made_due: set[Stage] = set()
        # Of the tick that runs in this instance: see `State.lock`.
        self._held: tuple[str | None, Any] = (None, None)  #: by whom, and its version
        self._ahead: dict[str, Any] = {}  #: documents by their ids
        self._swept: Any = None  #: the record of its sweep, which isn't saved yet

    def _document(self, job: Job) -> dict[str, Any]:
        data = sparse(encode(replace(job, version=None)))
        # Derived fields that queries select by.
        data |= {"endpoint": job.endpoint, "queue": job.queue} if job.spec else {}
        data |= {"waiting_in": job.waiting_in} if job.phase is Phase.WAITING else {}
        data |= {"unsettled": True} if job.is_unsettled else {}
        data |= {"tick_at": at} if (at := tick_at(job)) else {}
        data |= sparse(encode({name: getattr(job, name) for name in DERIVED}))
        if job.cancel_request:
            # `jobs_to_cancel` selects by null, so the field may not be omitted.
            data["cancel_request"]["sent_at"] = job.cancel_request.sent_at
        if job.may_expire:
            data["expire_at"] = job.updated_at + self._ttl
        return data

    def _read(self, snapshot: Any) -> Job:
        """A job from its document; a part gets the common fields of its split job."""
        job = job_from(snapshot)
        if job.part_of is None:
            return job
        if (common := self._common.get(job.part_of)) is None:
            with answered(f"split job {job.part_of}"):
                split_job = self._job(job.part_of).get(
                    field_paths=Common.FIELDS, **self._in_time
                )
            data = split_job.to_dict() or {}
            if not data.get("spec"):
                return (
                    job  # its document has expired: only the part's own labels are left
                )
            common = Common.of(data)
            self._keep(job.part_of, common)
        return common.put_into(job)

    def _keep(self, split_job: str, common: "Common") -> None:
        # These fields never change, so the copy in memory stays correct.
        if len(self._common) >= MAX_KEPT:
            self._common.clear()
        self._common[split_job] = common

    @property
    def _in_time(self) -> dict[str, Any]:
        """What a read is given besides, so that it takes no longer than it may."""
        if self._patience is None:
            return {}
        from google.api_core import exceptions
        from google.api_core.retry import Retry, if_exception_type

        # A read that got no answer in time is not repeated; a refused connection is.
        return {
            "timeout": self._patience,
            "retry": Retry(
                if_exception_type(exceptions.ServiceUnavailable),
                initial=0.1,
                maximum=1,
                timeout=self._patience,
            ),
        }

    def _jobs(self) -> Any:
        return self._connect().collection("jobs")

    def _job(self, job_id: str) -> Any:
        return self._jobs().document(job_id)

    def _lock(self, name: str) -> Any:
        return self._connect().collection("locks").document(name)

    def _day(self, day: str) -> Any:
        return self._connect().collection("spending").document(day)

    def _announcements(self) -> Any:
        return self._connect().collection("announcements")

    def _unpublished(self) -> Any:
        """The announcements that are to be published, the oldest first."""
        return (
            self._announcements()
            .where(filter=compare("published_at", "==", None))
            .where(filter=compare("set_aside_at", "==", None))
            .order_by("created_at")
        )

    def _counted(self, query: Any) -> int:
        """How many documents a query finds: one aggregation."""
        ((result,),) = query.count().get(**self._in_time)
        return int(result.value)

    def _different(self, query: Any, field: str) -> Iterator[str]:
        """The different texts in a field, in order. Reads one document for each."""
        ordered, last = query.order_by(field).limit(1), ""
        while found := ordered.where(filter=compare(field, ">", last)).get(
            **self._in_time
        ):
            last = found[0].get(field)
            yield last


@dataclass(frozen=True, slots=True)
class Common:
    """
    Fields that the parts of a split job have in common. Only the split job's document
    has them: three hundred copies would exceed the size of a commit.
    """

    labels: Mapping[str, str]
    spec_from: dict[str, str]

    FIELDS: ClassVar = ("spec.labels", "spec_from")

    @classmethod
    def of(cls, split_job: Mapping[str, Any]) -> Self:
        """From a split job's document."""
        return cls(split_job["spec"].get("labels", {}), split_job.get("spec_from", {}))

    def left_out_of(self, part: Mapping[str, Any]) -> dict[str, Any]:
        """A part's document without the common fields."""
        labels = part["spec"].get("labels", {})
        own = {n: text for n, text in labels.items() if self.labels.get(n) != text}
        document = {**part, "spec": {**part["spec"], "labels": own}}
        document.pop("spec_from", None)
        return document

    def put_into(self, part: Job) -> Job:
        """The part with the common fields."""
        if part.spec is None:
            return part
        spec = replace(part.spec, labels={**self.labels, **part.spec.labels})
        return replace(part, spec=spec, spec_from=self.spec_from)


class Raced(Exception):
    """Another write came first, or our own was applied and its answer was lost."""


@contextmanager
def answered(about: str) -> Iterator[None]:
    """
    Translates Firestore's errors:

        ALREADY_EXISTS NOT_FOUND
        FAILED_PRECONDITION ABORTED      a race
        INVALID_ARGUMENT, or the client
        can't encode the request         never: a document over 1 MiB, a commit over
                                         10 MiB, maps 20 deep, half a character
        anything else, or no answer      later

    The emulator answers RESOURCE_EXHAUSTED, as for a quota, to more than 4 MiB: see
    `check_sizes`.

    Args:
        about: the beginning of an error's message.

    Raises:
        Raced, NotWritable, Unavailable
    """
    from google.api_core import exceptions
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (
        exceptions.AlreadyExists,
        exceptions.NotFound,
        exceptions.FailedPrecondition,
        exceptions.Aborted,
    ) as exc:
        raise Raced(str(exc)) from exc
    except (exceptions.InvalidArgument, ValueError, TypeError) as exc:
        raise NotWritable(f"{about}: {exc}") from exc
    except (
        exceptions.GoogleAPICallError,
        exceptions.RetryError,
        GoogleAuthError,
    ) as exc:
        raise Unavailable(f"{about}: {exc}") from exc


def changed_fields(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """
    The fields that differ. The precondition guarantees that the rest of the document
    is unchanged, and encoding all of it would be the slowest part of a write.
    """
    from google.cloud.firestore import DELETE_FIELD

    return {
        name: new.get(name, DELETE_FIELD)
        for name in {**old, **new}
        if name == "updated_at" or old.get(name) != new.get(name)
    }


def check_sizes(written: Sequence[Mapping[str, Any]], made: Sequence[Any]) -> None:
    """
    Rejects a commit that Firestore can't accept, before it is sent: the client takes
    the answer for an exhausted quota and retries for a minute.

    Args:
        written: updated documents, whole.
        made: new documents.

    Raises:
        NotWritable: one document, or all of them together, have too many bytes.
    """
    sizes = list(map(size_of, (*written, *made)))
    for size, limit, what in (
        (max(sizes), MAX_DOCUMENT, "the job's document"),
        (sum(sizes), MAX_COMMIT, f"the commit of {len(sizes):,} documents"),
    ):
        if size > limit:
            raise NotWritable(f"{what} has {size:,} bytes, and may have {limit:,}")


def encode(value: Any) -> dict[str, Any]:
    """A dataclass as Firestore takes it: maps, lists, times, bytes."""
    data: dict[str, Any] = msgspec.to_builtins(value, builtin_types=(datetime, bytes))
    return data


def sparse(data: dict[str, Any]) -> dict[str, Any]:
    """
    The data without empty values, in all maps. A missing field decodes to its default,
    and takes no room in the document or in an index.
    """
    return {
        name: _sparse_value(value)
        for name, value in data.items()
        if value is not None and value != {} and value not in ([], ())
    }


def _sparse_value(value: Any) -> Any:
    if isinstance(value, dict):
        return sparse(value)
    if isinstance(value, list | tuple):
        return [_sparse_value(item) for item in value]
    return value


def unsent(announcement: Announcement) -> dict[str, Any]:
    """An unpublished announcement's document. It doesn't expire before it is sent."""
    return encode(announcement) | {"expire_at": None}


def decode(data: Any, type: type[T]) -> T:
    return msgspec.convert(plain(data), type, builtin_types=(datetime, bytes))


def job_from(snapshot: Any) -> Job:
    """
    Raises:
        ValueError: the document has another version. Its fields have other meanings, so
            that nothing of it is decoded.
    """
    data = snapshot.to_dict()
    if (v := data.get("v")) != VERSION:
        newer = isinstance(v, int) and v > VERSION
        raise ValueError(
            f"job {snapshot.id} has document version {v}; this worker reads {VERSION}: "
            + ("deploy the newer one again" if newer else TOO_OLD)
        )
    return replace(decode(data, Job), version=snapshot.update_time)


def announcement_from(snapshot: Any) -> Announcement:
    return decode(snapshot.to_dict(), Announcement)


def readable(
    snapshots: Iterable[Any], read: Callable[[Any], Readable]
) -> Iterator[Readable]:
    """
    Yields the documents that decode. Logs and skips the rest, so that one bad document
    can't block the others.
    """
    for snapshot in snapshots:
        try:
            yield read(snapshot)
        except (ValueError, msgspec.ValidationError) as exc:
            log.error(
                "document not readable",
                extra={
                    "event": "ledger.document_unreadable",
                    "document": snapshot.reference.path,
                    "reason": str(exc),
                },
            )


def by_pages(
    query: Any, size: int, read: Callable[[Any], Readable]
) -> Iterator[Readable]:
    """What a query finds and `read` decodes, read page by page as it is used."""
    # By a cursor: documents that fail can't block those behind them.
    page = query.limit(size).get()
    while page:
        yield from readable(page, read)
        if len(page) < size:
            return
        page = query.start_after(page[-1]).limit(size).get()


def compare(path: str, operator: str, value: Any) -> Any:
    from google.cloud.firestore_v1.base_query import FieldFilter

    return FieldFilter(path, operator, value)


def plain(value: Any) -> Any:
    """Replaces Firestore's datetimes by plain ones, in all maps and lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return datetime.combine(value.date(), value.time(), value.tzinfo)
    return value
