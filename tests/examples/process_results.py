"""Read a finished job's answers as a stream: what was answered, and what was not."""

import sys
from collections import Counter

from batchdrop import Client


def main(client: Client, name: str, wanted: set[str]) -> Counter[str]:
    count: Counter[str] = Counter()
    missing = set(wanted)
    for row in client.batches.results(name):
        missing.discard(row.key or "")
        if row.error:
            # A job that succeeded may have rows that didn't.
            print("failed:", row.key, row.error.code, row.error.message)
            count["failed"] += 1
        elif row.text is None:
            print("no text:", row.key, row.blocked or row.finish_reason)
            count["empty"] += 1
        else:
            count["answered"] += 1
            count["tokens"] += row.usage.total
    count["missing"] = len(missing)
    print(dict(count))
    return count


if __name__ == "__main__":
    with Client() as client:
        main(client, sys.argv[1], set(sys.argv[2:]))
