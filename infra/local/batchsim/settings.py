"""How a batchsim behaves: what its owner can choose."""

from dataclasses import dataclass, field
from datetime import timedelta

from batchsim.models import Model, echo

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """What the services refuse. Defaults are the published figures of Nov 2026."""

    vertex_rows: int = 200_000
    vertex_file_bytes: int = 1024 * MIB
    vertex_queue: timedelta = timedelta(hours=72)
    vertex_run: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    queue_seconds, run_seconds
        How long each job is PENDING, then RUNNING, on the simulator's clock.
    seed
        Decides the order of output lines and which way a fault's probability falls.
    """

    queue_seconds: float = 2.0
    run_seconds: float = 3.0
    model: Model = echo
    seed: int = 0
    limits: Limits = field(default_factory=Limits)
