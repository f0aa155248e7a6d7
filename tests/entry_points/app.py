"""An app of `main.py`, and a worker behind it that remembers what came through."""

from dataclasses import dataclass, field
from pathlib import Path

import functions_framework
from flask import Flask
from werkzeug.test import Client

from batchdrop.jobs.values import Drop
from batchdrop.worker.tick import TickReport

MAIN = Path(__file__).parents[2] / "functions" / "main.py"


@dataclass
class Worker:
    """Behind the entry points: remembers what came through."""

    drops: list[Drop] = field(default_factory=list)
    collected: list[str] = field(default_factory=list)
    fails: Exception | None = None

    def take(self, drop: Drop) -> None:
        if self.fails:
            raise self.fails
        self.drops.append(drop)

    def collect(self, job_id: str) -> None:
        self.collected.append(job_id)

    def tick(self) -> TickReport:
        if self.fails:
            raise self.fails
        return TickReport(ended=2)


def client_of(target: str) -> Client:
    app: Flask = functions_framework.create_app(target, str(MAIN))
    return app.test_client()
