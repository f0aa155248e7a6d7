"""How a batchsim behaves: what its owner can choose."""

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
    What the services refuse. Defaults are the published figures of November 2026.

    Vertex: rows and bytes a job, hours in the queue and running, active Claude jobs a
    project, rows of a job for text-embedding-005 and older.

    Developer API: bytes of a create request and of a file, of all files, how long an
    upload is kept, how old an unfinished job may get, active jobs, and tokens that may
    be queued by model (`*` as a wildcard; these differ by tier, so none by default).
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
    What may be changed at any time; a job looks when it comes to it.

    queue_seconds, run_seconds
        How long each job is PENDING, then RUNNING, on the simulator's clock.
    model
        What answers the rows.
    seed
        Decides the order of answers and which way a fault's probability falls.
    api_keys
        The keys that the Developer API takes; None takes any.
    retired_models
        Names of models that are gone (`*` as a wildcard): a create answers 404, as for
        one that never was.
    """

    queue_seconds: float = 2.0
    run_seconds: float = 3.0
    model: Model = echo
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
    api_keys: frozenset[str] | None = None
    retired_models: frozenset[str] = frozenset()

    def is_retired(self, model: str) -> bool:
        """Whether a model's name, without what is before the last slash, is retired."""
        name = model.rpartition("/")[2]
        return any(fnmatchcase(name, each) for each in self.retired_models)
