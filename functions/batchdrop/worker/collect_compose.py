"""Makes one object of many, without reading them, and publishes it."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from batchdrop.failpoints import failpoint
from batchdrop.jobs.values import Drop, Location
from batchdrop.storage import MAX_SOURCES, Created, Storage
from batchdrop.stored import split_uri
from batchdrop.worker.collect_steps import NDJSON


@dataclass(frozen=True, slots=True)
class Compose:
    """
    Composes objects in the work bucket, and copies the result to its address.

    Nothing is composed where results are published, because collect may only create
    and read objects there (roles/storage.objectCreator and objectViewer):

    - More than 32 sources take intermediate objects, which it could not delete. The
      bucket may also have a retention policy, under which nobody could.
    - The sources of a compose request lie in the bucket of its target and have its
      storage class. The target is encrypted with the key that its bucket names. In the
      work bucket all of this is ours; the copy takes class and key of its own bucket.

    All intermediate objects get names that follow from their sources, so that a
    repeated call finds what an earlier one has made.
    """

    storage: Storage

    def __call__(self, sources: Sequence[Drop], work: Location, uri: str) -> Created:
        """
        Args:
            sources: generations of objects in any bucket. Those that lie outside of
                the work bucket are copied into it. None, or empty ones, make an empty
                object.
            work: a folder in the work bucket for the intermediate objects. The caller
                deletes them.
            uri: the address of the new object.

        Returns:
            The object at that address. It may be an earlier call that made it.

        Raises:
            Differs: an object has that address and another content. A call with
                another address composes nothing again.
            SourceGone: one of the sources no longer exists.
            Unavailable, Misconfigured: try again.
        """
        found = [self._at(work, one) for one in sources if one.size]
        if not found:
            return self.storage.create(uri, b"", NDJSON)
        while len(found) > 1:
            starts = range(0, len(found), MAX_SOURCES)
            found = [self._one(found[at : at + MAX_SOURCES], work) for at in starts]
        failpoint("collect_composed")
        return self.storage.copy_generation(found[0], uri, NDJSON)

    def _at(self, work: Location, one: Drop) -> Drop:
        """The source in the work bucket."""
        if one.bucket == work.bucket:
            return one
        target = f"{work}copied-{_mark([one])}.jsonl"
        return _drop(self.storage.copy_generation(one, target, NDJSON))

    def _one(self, some: Sequence[Drop], work: Location) -> Drop:
        if len(some) == 1:
            return some[0]
        target = f"{work}composed-{_mark(some)}.jsonl"
        return _drop(self.storage.compose(some, target, NDJSON))


def _mark(some: Sequence[Drop]) -> str:
    """A name for these generations, in this order."""
    return sha256("\n".join(map(str, some)).encode()).hexdigest()[:24]


def _drop(one: Created) -> Drop:
    bucket, name = split_uri(one.uri)
    return Drop(bucket=bucket, name=name, generation=one.generation, size=one.bytes)
