"""The worker's errors, named by what to do about them.

    BatchdropError
    ├── BadSetting      a setting is missing or wrong: the start stops here
    ├── NotADrop        the event is not about an upload: acknowledge it
    ├── NotAWakeUp      the message names no job to collect: acknowledge it
    ├── BadChoice       a file's choice is wrong or not allowed: reject the job
    ├── NotReadable     the dropped file can't be read as lines: reject the job
    ├── SourceGone      the dropped generation no longer exists: reject the job
    ├── Misconfigured   a bucket, key or permission is missing: wait for a person
    ├── Superseded      another worker holds the job now: stop, write nothing
    ├── NotWritable     Firestore never accepts this write: reject the job
    ├── Refused         Pub/Sub rejects this announcement: send the next one
    └── Unavailable     no answer, or "come back later": the ledger tries again

The Batches client has a tree of its own, in `batchdrop.batches.errors`.
"""


class BatchdropError(Exception):
    """The root of the worker's own errors."""


class BadSetting(BatchdropError):
    """A setting is missing or wrong; the text names it and says what it must be."""


class NotADrop(BatchdropError):
    """An event that can't be read as an upload; another delivery would fail too."""


class NotAWakeUp(BatchdropError):
    """A message that names no job to collect; another delivery would fail too."""


class BadChoice(BatchdropError):
    """A choice in a manifest or an object's metadata is wrong, or not allowed."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class NotReadable(BatchdropError):
    """The file can't be read as lines, or is larger than the limits allow."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class SourceGone(BatchdropError):
    """The generation that was dropped was overwritten or deleted before it was read."""


class Misconfigured(BatchdropError):
    """A bucket, a key or a permission is missing; a person has to fix it."""


class Superseded(BatchdropError):
    """The job's lease went to another worker, or the job moved on."""


class NotWritable(BatchdropError):
    """Firestore never accepts this write: it is too large, or not text."""


class Refused(BatchdropError):
    """Pub/Sub read the announcement and rejected it; a repeat rarely helps."""


class Unavailable(BatchdropError):
    """
    No answer, or an answer that says to come back later.

    Attributes:
        costly: each attempt repeats long work, so pauses between them grow.
    """

    def __init__(self, message: str, *, costly: bool = False) -> None:
        super().__init__(message)
        self.costly = costly
