"""What lies in the output bucket of a drop and of its parts."""

import json
import re
from collections.abc import Iterator

from google.cloud import storage

from batchdrop.jobs.values import Drop
from tests.exactly_once.promise import Answer, Published


def answers(gcs: storage.Client, bucket: str, drop: Drop) -> list[Answer]:
    """All answers, as the API wrote them, of all rounds."""
    found = []
    for blob in _objects(gcs, bucket, drop, r"/prediction"):
        in_round = re.search(r"/round-(\d+)/", blob.name)
        for line in map(json.loads, blob.download_as_text().splitlines()):
            failed = line.get("status") or line.get("error")
            round = int(in_round[1]) if in_round else 0
            found.append(Answer(line["key"], round, ok=not failed))
    return found


def results(gcs: storage.Client, bucket: str, drop: Drop) -> list[Published]:
    """All objects with results."""
    return [
        Published(
            uri=f"gs://{bucket}/{blob.name}",
            generation=int(blob.generation),
            crc32c=blob.crc32c,
            text=blob.download_as_text(),
        )
        for blob in _objects(gcs, bucket, drop, r"/results[^/]*\.jsonl$")
    ]


def _objects(
    gcs: storage.Client, bucket: str, drop: Drop, pattern: str
) -> Iterator[storage.Blob]:
    for blob in gcs.list_blobs(bucket, prefix=f"{drop.name}/{drop.job_id}/"):
        if re.search(pattern, blob.name):
            yield blob
