"""The codes in a job's document and its announcements. Each explains itself."""

from enum import StrEnum


class Backend(StrEnum):
    """Which of Google's two batch APIs runs a job."""

    VERTEX = "vertex"  #: Vertex AI, at a location.
    DEVELOPER = "developer"  #: The Gemini Developer API, which has no locations.


class Phase(StrEnum):
    """How far the job is, in our terms. The API's own state is `batch.state`."""

    #: The ledger knows of the drop; nothing is staged.
    ARRIVED = "arrived"
    #: The rows are staged; no request that names this staging was sent.
    PREPARED = "prepared"
    #: The rows are staged; the queue has no room yet, and no request is in flight.
    WAITING = "waiting"
    #: The intent is written; the request may have been sent.
    SUBMITTING = "submitting"
    #: The API has the batch, under `batch.name`.
    SUBMITTED = "submitted"
    #: The batch has ended, well or badly. A split job ends when all its parts have.
    ENDED = "ended"
    #: The parts are jobs of their own; the job itself has no batch.
    SPLIT = "split"
    #: Nothing was paid: bad rows, a refused request, a source that is gone.
    REJECTED = "rejected"
    #: A manifest without rows: the job of the file beside it reads it.
    ATTACHED = "attached"


class Step(StrEnum):
    """What is to be done next with the answers of a job that has ended."""

    #: The answers are to be copied from the Developer API, which deletes its own.
    COPY = "copy"
    #: The copy is to be brought to the job's destination.
    DELIVER = "deliver"
    #: The list of the objects with answers is to be written down, and then kept to.
    FREEZE = "freeze"
    #: The answers are to be joined to the rows of the file, in one go.
    MERGE = "merge"
    #: Answers that are too many for one go: the next slice of them is to be sorted.
    SORT = "sort"
    #: Sorted answers are to be joined to the next range of rows.
    RANGE = "range"
    #: The results of all ranges are to become one object.
    COMPOSE = "compose"
    #: A split job's parts are to be done, and then their results become one object.
    PARTS = "parts"
    #: A person wants rows to go again: which ones is to be read from the results.
    RETRY = "retry"
    #: Rows go again, as a job of their own, which is to be done.
    ROUND = "round"
    #: The results of that job are to be joined with those before, range by range.
    HEAL = "heal"


class SkipCode(StrEnum):
    """Why rows that failed for a passing reason did not go again."""

    #: They are a larger share of the file than `retry_share` allows.
    OVER_SHARE = "over_share"
    #: All rounds that `retry` allows are used.
    ROUNDS_USED = "rounds_used"
    #: The last round has healed no row.
    NONE_HEALED = "none_healed"
    #: The batch left no answers. Look at its error, then run `batchdrop rerun`.
    NO_ANSWERS = "no_answers"
    #: Someone cancelled the job.
    CANCELLED = "cancelled"
    #: The round was rejected before it was paid, as over a limit; its error says why.
    REJECTED = "rejected"
    #: The staged rows are gone from the work bucket.
    STAGING_GONE = "staging_gone"
    #: The results, which say which rows failed, are gone.
    RESULTS_GONE = "results_gone"
    #: A person asked for a round, and no row has an outcome that was asked for.
    NO_ROWS = "no_rows"


class WaitCode(StrEnum):
    """What a job waits for: the code of its `waiting_for`."""

    #: A person has to fix what the message names, then run `batchdrop resume`.
    PERSON = "person"
    #: A key, a bucket or a permission is missing. The job continues within an hour
    #: after you grant what the message names.
    GRANT = "grant"
    #: The file's manifest, which is required.
    MANIFEST = "manifest"
    #: The file that the manifest describes is being read.
    FILE = "file"
    #: Its turn in its queue. `ahead` is how many jobs come first.
    QUEUE = "queue"
    #: Nothing is submitted while `BATCHDROP_PAUSED` is set.
    PAUSED = "paused"
    #: The API has answered 429: the queue pauses.
    QUOTA = "quota"
    #: A day on which the limits on rows and bytes have room.
    DAY = "day"
    #: A day on which the ceilings on cost have room.
    CEILING = "ceiling"
    #: The step failed, through no fault of the job. It is tried again.
    ANOTHER_TRY = "another_try"
    #: A request may have created a batch: a list of the API's batches has to show it.
    SEARCH = "search"
    #: The API has the batch, and has not started it.
    API = "api"
    #: The API counts answers that are not there yet.
    ANSWERS = "answers"
    #: Of a split job: its parts.
    PARTS = "parts"
    #: Rows that failed go again: their round is to be done.
    ROUND = "round"


class Outcome(StrEnum):
    """How a job or a part ended."""

    #: The API answered every row.
    SUCCEEDED = "succeeded"
    #: The API answered some rows; or some parts of a split job have answers.
    PARTIALLY_SUCCEEDED = "partially_succeeded"
    #: The batch failed, or its answers can't be found.
    FAILED = "failed"
    #: Someone cancelled it, before it was sent or while it ran.
    CANCELLED = "cancelled"
    #: The API ran out of time.
    EXPIRED = "expired"
    #: No batch was made: `error` says why. Nothing was paid.
    REJECTED = "rejected"
    #: The API has answered 404 for the batch for an hour.
    LOST = "lost"

    @classmethod
    def of_state(cls, state: str) -> "Outcome":
        """
        The outcome of a batch that ended in this state of the API, a JOB_STATE_...

        Raises:
            ValueError: a batch does not end in this state.
        """
        return cls(state.removeprefix("JOB_STATE_").lower())

    @property
    def counted(self) -> "Outcome":
        """The outcome that a part counts as: the API has no state for two of them."""
        unnamed = self in (Outcome.REJECTED, Outcome.LOST)
        return Outcome.FAILED if unnamed else self

    @property
    def state(self) -> str:
        """The API's name for this outcome, a JOB_STATE_..."""
        return f"JOB_STATE_{self.counted.upper()}"


class HealthCode(StrEnum):
    """What is wrong on our side, worst first: a job's health is the first that holds.

    Each, except the last two, is also the name of the field with the fact.
    """

    #: Workers keep failing on the job. Nobody takes it up until you mend what the
    #: message names and run `batchdrop resume`.
    PARKED = "parked"
    #: A second batch was made and is cancelled. See what it cost.
    DUPLICATES = "duplicates"
    #: The API deletes the answers soon, and they have not been copied yet.
    ANSWERS_AT_RISK = "answers_at_risk"
    #: A key, a bucket or a permission is missing. The job continues within an hour
    #: after you grant what the message names.
    NOT_ALLOWED = "not_allowed"
    #: Parts of a split job are parked, or lack a grant: their own health says what to
    #: do. Until then the file's results wait.
    PARTS_HELD = "parts_held"
    #: Rows go again, and the job that sends them is unhealthy: the message has its
    #: health. `batchdrop resume` and `batchdrop cancel` of this job act on it.
    ROUND_HELD = "round_held"
    #: Pub/Sub refuses an announcement of the job. Mend what the message names, then run
    #: `batchdrop announcements replay`.
    UNPUBLISHED = "unpublished"
    #: Many batches answer 404 at once. See whether project, location and key are those
    #: that made them.
    NOT_VISIBLE = "not_visible"
    #: The API could not be asked about the batch. It is asked again at every tick.
    POLL_FAILED = "poll_failed"
    #: The API answers 404 for the batch. After an hour the job is lost.
    NOT_FOUND = "not_found"
    #: The batch has been in one state for longer than `stalled_after`. Wait, or run
    #: `batchdrop cancel`.
    STALLED = "stalled"
    #: The next step has failed for two hours. It is retried automatically.
    POSTPONED = "postponed"
    #: The API counts more answers than it has written. The rows without one are
    #: `missing`.
    ANSWERS_SHORT = "answers_short"
    #: The object with the rows' own keys and columns is gone: the results lack them.
    COLUMNS_LOST = "columns_lost"
    #: The API names a state that this version does not know. The batch is taken to be
    #: under way.
    UNKNOWN_STATE = "unknown_state"
    #: More rows are `failed` or `missing` than `failed_share` allows, or none is ok.
    #: Blocked, truncated, malformed and empty rows do not count as failed.
    ROWS_FAILED = "rows_failed"


#: The troubles that are announced: someone should look at the job.
STALLS = (
    HealthCode.PARKED,
    HealthCode.ANSWERS_AT_RISK,
    HealthCode.NOT_ALLOWED,
    HealthCode.ROUND_HELD,
    HealthCode.STALLED,
    HealthCode.POSTPONED,
)


class ErrorCode(StrEnum):
    """Why a job was rejected, failed or was lost: the code of its `error`."""

    #: Lines of the file can't be sent, and `on_invalid` is `reject`.
    BAD_ROWS = "bad_rows"
    #: More lines can't be sent than `max_invalid` allows to leave out.
    TOO_MANY_INVALID = "too_many_invalid"
    #: The file is empty, or has only blank lines.
    NO_ROWS = "no_rows"
    #: The file is in another encoding than UTF-8.
    NOT_UTF8 = "not_utf8"
    #: The file ends in .gz, or begins as gzip does, and can't be unpacked.
    BAD_GZIP = "bad_gzip"
    #: The file unpacks to more bytes than a file may have.
    TOO_LARGE_UNPACKED = "too_large_unpacked"
    #: The file has more rows, bytes or parts than a limit allows, or is estimated to
    #: cost more.
    OVER_LIMIT = "over_limit"
    #: A ceiling on cost is set, and the cost of the file can't be estimated.
    NO_ESTIMATE = "no_estimate"
    #: The object's metadata chooses something that can't be read.
    BAD_METADATA = "bad_metadata"
    #: The manifest can't be read.
    BAD_MANIFEST = "bad_manifest"
    #: The manifest came after the file was read.
    MANIFEST_TOO_LATE = "manifest_too_late"
    #: The file chooses what the deployment does not allow, or the API's own agent
    #: lacks a permission.
    NOT_ALLOWED = "not_allowed"
    #: The file's options can't be combined, or the API doesn't support them.
    NOT_POSSIBLE = "not_possible"
    #: An object that the manifest names does not exist.
    NO_SOURCE = "no_source"
    #: The results would have object names of more than 1,024 bytes.
    NAME_TOO_LONG = "name_too_long"
    #: The dropped object was overwritten or deleted before it was read.
    SOURCE_GONE = "source_gone"
    #: The staged rows were deleted from the work bucket before they were sent. Run
    #: `batchdrop rerun`, which reads the dropped object again.
    STAGING_GONE = "staging_gone"
    #: The job's document would be larger than Firestore takes.
    TOO_LARGE = "too_large"
    #: The event of the file never arrived, but the output bucket has its results.
    ALREADY_DONE = "already_done"
    #: The API refused the request; the message has its reason.
    SERVICE_REFUSED = "service_refused"
    #: Someone cancelled the job before it was sent.
    CANCELLED = "cancelled"
    #: The API no longer knows the batch.
    LOST = "lost"
    #: The batch succeeded, but ten minutes after its end the API doesn't name its
    #: answers.
    NO_OUTPUT = "no_output"
