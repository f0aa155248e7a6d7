"""The settings of a simulator."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from fnmatch import fnmatchcase

from batchsim.models import Model, echo

MIB = 1024 * 1024
GIB = 1024 * MIB


@dataclass(slots=True, kw_only=True)
class Limits:
    """
    The limits of the APIs. Defaults are the published figures of November 2026.

    Vertex: rows and bytes per job, time in the queue and running, active Claude jobs
    per project, and rows per job of the embedding models.

    Developer API: bytes of a create request, of a file and of all files; how long a
    file is kept and an unfinished job lives; active jobs; and queued tokens per model
    (`*` as a wildcard; these differ by tier, so none by default).
    """

    vertex_rows: int = 200_000
    vertex_file_bytes: int = 1 * GIB
    vertex_queue: timedelta = timedelta(hours=72)
    vertex_run: timedelta = timedelta(hours=24)
    claude_jobs: int = 4
    text_embedding_rows: int = 30_000
    gemini_embedding_rows: int = 1_000_000

    inline_bytes: int = 20 * MIB
    file_bytes: int = 2 * GIB
    storage_bytes: int = 20 * GIB
    file_life: timedelta = timedelta(hours=48)
    developer_life: timedelta = timedelta(hours=48)
    developer_jobs: int = 100
    queued_tokens: Mapping[str, int] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Settings:
    """
    May be changed at any time. A job reads each setting when it needs it.

    queue_seconds, run_seconds
        How long each job is PENDING, then RUNNING, on the simulator's clock.
    model
        Answers the rows.
    seed
        Decides the order of answers, and when a fault with a probability happens.
    api_keys
        The keys that the Developer API accepts; None accepts any.
    retired_models
        Names of retired models (`*` as a wildcard): a create answers 404, as for an
        unknown model.
    """

    queue_seconds: float = 2.0
    run_seconds: float = 3.0
    model: Model = echo
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    api_keys: frozenset[str] | None = None
    retired_models: frozenset[str] = frozenset()

    def is_retired(self, model: str) -> bool:
        """Whether a model is retired, by the last part of its name."""
        name = model.rpartition("/")[2]
        return any(fnmatchcase(name, each) for each in self.retired_models)
