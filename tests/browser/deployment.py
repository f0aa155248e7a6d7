"""A deployment with jobs of every kind, and a server of its pages."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from types import ModuleType
from typing import Any

from werkzeug.serving import WSGIRequestHandler, make_server

from batchdrop.dashboard.site import site
from batchdrop.jobs.job import Job
from batchdrop.jobs.parts import MAX_PARTS
from batchdrop.jobs.values import Drop, Part, Staging
from batchdrop.rows import Rows
from batchdrop_local import sample
from tests.there import there
from tests.worker.split_jobs import spec_of
from tests.worker.world import World

#: Names that would run a script, break a page's markup, or hide what they are, if a
#: page let them. A script of them would set `hacked`.
HOSTILE = (
    "<script>window.hacked=1</script>.jsonl",
    '"><img src=x onerror="window.hacked=2">.jsonl',
    "'-alert(3)-'{{7*7}}${window.hacked=3}.jsonl",
    "</title></textarea></style><svg onload=window.hacked=4>.jsonl",
    "javascript:window.hacked=5//.jsonl",
    "\N{RIGHT-TO-LEFT OVERRIDE}lnosj.\N{ZERO WIDTH SPACE}elif\x1b[31m\nred.jsonl",
    f"{'long/' * 30}{'w' * 120}.jsonl",
    "заявки/レビュー/مراجعات العملاء.jsonl",
)


#: What a page would run if it believed what rows ask and answer, and why they failed.
SCRIPTS = "<script>window.hacked=7</script><img src=x onerror='window.hacked=8'>"
#: The file of rows that ask for that; one of them fails with it.
SCRIPTED = HOSTILE[1]


def scripted() -> bytes:
    """Rows whose texts, keys, columns and errors would run scripts."""
    rows = [
        {"key": f"{SCRIPTS}{n}", SCRIPTS: SCRIPTS}
        | {"request": {"contents": [{"role": "user", "parts": [{"text": SCRIPTS}]}]}}
        for n in range(3)
    ]
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


class _Silent(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Says nothing of requests."""


@contextmanager
def served(world: World, **settings: Any) -> Iterator[str]:
    """The address of a server of a world's pages, with these settings."""
    deployment = ModuleType("deployment")
    world.choose(**{"dashboard_access": "local"} | settings)
    chosen = world.settings
    for name, made in {**world.wired, "settings": lambda: chosen}.items():
        setattr(deployment, name, made)
    app = site(deployment)
    # A thread a request, as Cloud Run's server has.
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Silent)
    thread = threading.Thread(target=server.serve_forever, name="pages")
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def fill(
    world: World, share: float = 1, also: Mapping[str, bytes] | None = None
) -> dict[str, Job]:
    """
    Drops the files of the sample, and runs ticks until nothing is open but one that
    stands still and one that waits for it.

    Args:
        share: of the files' rows.
        also: the contents of more files, by their names.

    Returns:
        Each job by its file's name.
    """
    world.choose(routes=sample.ROUTES, results="on", retry=1, max_cost_per_day=10.0)
    world.sim.settings.queue_seconds, world.sim.settings.run_seconds = 60, 120
    world.sim.faults.load(sample.FAULTS)
    world.sim.faults.add(
        "row_failed", code=400, message=SCRIPTS, match={"row_text": "hacked"}, count=1
    )
    drops = {}
    for file in sample.FILES:
        rows = max(20, int(file.rows * share))
        drops[file.name] = drop(world, replace(file, rows=rows))
        world.advance(timedelta(seconds=4))
    for name, content in (also or {}).items():
        drops[name] = world.upload(content, name)
        world.worker.take(drops[name])
    # One submits them, as there is a ceiling; at the next one batches run.
    world.ticks(2, every=timedelta(seconds=80))
    for file in sample.FILES:
        if file.cancelled:
            world.worker.commands.cancel(drops[file.name].job_id, by="ada")
            world.ticks(1, every=timedelta(seconds=5))
    ending = [drop for name, drop in drops.items() if not name.startswith("slow/")]
    world.ticks_until(
        lambda: all(world.job(drop).is_done for drop in ending),
        every=timedelta(minutes=3),
    )
    return {name: world.job(drop) for name, drop in drops.items()}


def drop(world: World, file: sample.File) -> Drop:
    """Uploads a file, and delivers its event."""
    drop = world.upload(file.content(), file.name)
    world.worker.take(drop)
    return drop


def dropped(world: World, name: str, rows: int = 20) -> Job:
    """One more file, whose batch is made."""
    return world.job(drop(world, sample.File(name=name, rows=rows)))


def split_into_many(world: World, name: str) -> Job:
    """A file of 300 parts, none of which is due before tomorrow: ticks leave them."""
    drop = world.upload(b"{}\n", name)
    now, rows = world.now(), 200_000
    job = there(
        world.ledger.claim(Job.claimed(drop, world.holder(), now, world.timing))
    )
    spec = replace(spec_of(world, job), model="gemini-3.1-pro-preview", max_active=1)

    def staged(job: Job) -> Job:
        for n in range(MAX_PARTS):
            uri = f"{world.settings.work}{job.part_id(n)}/1/requests.jsonl"
            staging = Staging(epoch=1, uri=uri, rows=rows, bytes=rows * 300)
            part = Part(n=n, first=n * rows + 1, last=(n + 1) * rows, staging=staging)
            job = job.part_staged(part, now, world.timing)
        return job

    total = Rows(total=MAX_PARTS * rows, accepted=MAX_PARTS * rows)
    return world.ledger.advance(
        world.ledger.advance(job, staged),
        lambda job: job.split(spec, total, now),
        creates=lambda job: [
            replace(part, due=now + timedelta(days=1)) for part in job.part_jobs(now)
        ],
    )
