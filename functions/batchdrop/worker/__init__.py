"""The worker: its steps in the order in which a job goes through them."""

from dataclasses import dataclass

from batchdrop.backends import Backends
from batchdrop.jobs.values import Drop
from batchdrop.worker.claim import Claims
from batchdrop.worker.collect import Collect
from batchdrop.worker.commands import Commands
from batchdrop.worker.run import Runner
from batchdrop.worker.tick import Poll, TickReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """What the entry points and the command line call; `wiring.build` makes it."""

    claims: Claims
    runner: Runner
    poll: Poll
    collector: Collect
    commands: Commands
    backends: Backends

    def take(self, drop: Drop) -> None:
        """
        Handles a delivery: the first one claims the job and carries it on; every other
        finds it claimed, and leaves it to the ledger.

        Raises:
            Unavailable: the claim could not be made; deliver it again.
        """
        if job := self.claims.claim(drop):
            self.runner.carry_on(job)

    def tick(self) -> TickReport:
        """
        Handles a run of the schedule: see `Poll.tick`.

        Raises:
            ExceptionGroup: some jobs failed; all others were handled.
        """
        return self.poll.tick()

    def collect(self, job_id: str) -> None:
        """Handles a wake-up: see `Collect.collect`."""
        self.collector.collect(job_id)
