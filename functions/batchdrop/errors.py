"""What can go wrong in the worker, named by what to do about it.

    BatchdropError
    ├── BadSetting      a setting is missing or wrong: the start stops here
    ├── NotADrop        an event that is not about an upload: acknowledge it
    ├── BadChoice       what a file chooses is wrong or not allowed: reject the job
    ├── NotReadable     the dropped file can't be read as lines: reject the job
    ├── SourceGone      the dropped generation can't be read any more: reject the job
    ├── Misconfigured   a bucket, key or right is missing: wait for a person
    ├── Superseded      another worker holds the job by now: stop, write nothing
    ├── NotWritable     a write that Firestore will never take: reject the job
    ├── Refused         an announcement that Pub/Sub won't take as it is: the next one
    └── Unavailable     no answer, or "come back later": the ledger tries again

The Batches client has a tree of its own, in `batchdrop.batches.errors`.
"""


class BatchdropError(Exception):
    """The root of the worker's own errors."""


class BadSetting(BatchdropError):
    """A setting is missing or wrong; the text names it and says what it must be."""


class NotADrop(BatchdropError):
    """An event that can't be read as an upload; a repeat would fail as well."""


class BadChoice(BatchdropError):
    """What a manifest or an object's metadata chooses is wrong, or not allowed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotReadable(BatchdropError):
    """The file as a whole can't be read as lines, or is more than may be sent."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SourceGone(BatchdropError):
    """The generation that was dropped was overwritten or deleted before it was read."""


class Misconfigured(BatchdropError):
    """A bucket, a key or a right is missing; a person has to mend it."""


class Superseded(BatchdropError):
    """The job's lease went to another worker, or the job moved on."""


class NotWritable(BatchdropError):
    """Firestore will never take it: it is too large, or not text."""


class Refused(BatchdropError):
    """Pub/Sub has read the announcement and rejects it; a repeat hardly helps."""


class Unavailable(BatchdropError):
    """No answer, or an answer that says to come back later."""
