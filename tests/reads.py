"""How many documents a piece of work reads and writes."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from google.cloud.firestore_v1.services.firestore.client import FirestoreClient


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts the documents that Firestore's client reads and writes, and its
    requests."""
    counts: Counter[str] = Counter()
    before = {
        name: getattr(FirestoreClient, name)
        for name in (
            "commit",
            "batch_get_documents",
            "run_query",
            "run_aggregation_query",
        )
    }

    def streaming(name: str) -> Callable[..., Any]:
        def call(self: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
            counts["requests"] += 1
            for answer in before[name](self, *args, **kwargs):
                counts["reads"] += 1
                yield answer

        return call

    def commit(self: Any, *args: Any, **kwargs: Any) -> Any:
        request = kwargs.get("request") or args[0]
        counts["requests"] += 1
        counts["writes"] += len(request["writes"])
        return before["commit"](self, *args, **kwargs)

    try:
        for name in before:
            made = commit if name == "commit" else streaming(name)
            setattr(FirestoreClient, name, made)
        yield counts
    finally:
        for name, method in before.items():
            setattr(FirestoreClient, name, method)
