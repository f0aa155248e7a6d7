"""
Takes the pictures in docs/images, of pages with the sample's jobs.

    python -m tests.browser.screenshots

Fourteen days pass on a clock of its own, so that there is something to see of each day.
Look at the pictures afterwards: `tests/browser` says nothing of how they please.
"""

import base64
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import timedelta
from pathlib import Path

from batchdrop.jobs.job import Job
from batchdrop_local import fake_gcs, sample
from batchdrop_local.emulators import FIRESTORE
from batchsim.sentiment import classify
from tests import services
from tests.browser.chromium import Browser, chromium
from tests.browser.deployment import drop, dropped, fill, served
from tests.database import Database
from tests.worker.world import World, a_world

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: Bytes of a picture: they are fetched with each copy of the repository.
MOST = 150_000
#: What is in each: the page, the width and the height in pixels, and the scheme.
PICTURES = {
    "jobs": ("/", 1200, 760, "light"),
    "jobs-dark": ("/", 1200, 760, "dark"),
    "job": ("/jobs/{support/tickets.jsonl}", 1200, 975, "light"),
    "job-phone": ("/jobs/{nightly/reviews-01.jsonl}", 360, 730, "dark"),
    "rows": ("/jobs/{support/tickets.jsonl}/rows", 1200, 765, "light"),
    "costs": ("/costs", 1200, 750, "light"),
}


@contextmanager
def deployment() -> Iterator[World]:
    """Its names are nobody's."""
    with ExitStack() as undo:
        folder = Path(undo.enter_context(tempfile.TemporaryDirectory()))
        address = undo.enter_context(services.running(FIRESTORE, folder / "firestore"))
        gcs = undo.enter_context(fake_gcs.running(folder / "gcs"))
        project = "example-project"
        os.environ |= {
            FIRESTORE.variable: address,
            "STORAGE_EMULATOR_HOST": gcs,
            "GOOGLE_CLOUD_PROJECT": project,
            "LOGNAME": "ada",
        }
        database = undo.enter_context(closing(Database(project=project)))
        world = undo.enter_context(a_world(gcs, database, model=classify))
        world.choose(deployment="prod", retry=1, results="on", routes=sample.ROUTES)
        yield world


def pass_days(world: World, days: int) -> None:
    """Files are dropped and done on each day."""
    world.sim.settings.queue_seconds, world.sim.settings.run_seconds = 60, 120
    more = sample.later()
    for day in range(days):
        files = [next(more) for _ in range(3 + day % 3)]
        drops = [drop(world, file) for file in files if not file.bad]
        while not all(world.job(each).is_done for each in drops):
            world.ticks(1, every=timedelta(minutes=4))
        world.advance(timedelta(hours=22))


def take(browser: Browser, jobs: dict[str, Job]) -> Iterator[str]:
    """Takes each picture; yields what is wrong with one."""
    IMAGES.mkdir(exist_ok=True)
    for name, (path, width, height, scheme) in PICTURES.items():
        for file, job in jobs.items():
            path = path.replace(f"{{{file}}}", job.id)
        browser.look(width, scheme)
        browser.open(path)
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        taken = browser.command(
            "Page.captureScreenshot",
            format="png",
            clip=clip,
            captureBeyondViewport=True,
        )
        content = base64.b64decode(taken["data"])
        (IMAGES / f"{name}.png").write_bytes(content)
        print(f"docs/images/{name}.png: {len(content):,} bytes")
        if len(content) > MOST:
            yield f"{name}.png has more than {MOST:,} bytes: show less of the page"


def main() -> None:
    with deployment() as world, chromium() as browser:
        pass_days(world, 13)
        jobs = fill(world)
        dropped(world, "nightly/reviews-15.jsonl", rows=240)
        world.ticks(2, every=timedelta(seconds=80))
        dropped(world, "translations/catalogue-15.jsonl", rows=90)
        world.advance(timedelta(seconds=12))
        with served(world, dashboard_rows=True) as url:
            wrong = list(take(browser.at(url), jobs))
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()
