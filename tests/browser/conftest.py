import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest

from batchdrop.jobs.job import Job
from tests.browser.chromium import Browser, chromium
from tests.browser.deployment import (
    HOSTILE,
    SCRIPTED,
    dropped,
    fill,
    scripted,
    served,
    split_into_many,
)
from tests.database import Database
from tests.worker.world import World, a_world


@dataclass(frozen=True, slots=True)
class Deployed:
    """A deployment with jobs, which tests add to, and where its pages are."""

    world: World
    url: str
    jobs: dict[str, Job]  #: by the names of their files, as they were at first


@pytest.fixture(scope="package")
def window() -> Iterator[Browser]:
    """The one Chromium of all tests here."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="package")
def deployed(window: Browser, gcs: str, firestore_emulator: str) -> Iterator[Deployed]:
    """The one deployment of all tests here. Whoever has no browser makes none."""
    project = f"test-{uuid.uuid4().hex[:12]}"
    with (
        pytest.MonkeyPatch.context() as patch,
        closing(Database(project=project)) as database,
    ):
        # Where answers are collected, clients look for these.
        patch.setenv("STORAGE_EMULATOR_HOST", gcs)
        patch.setenv("GOOGLE_CLOUD_PROJECT", project)
        with a_world(gcs, database) as world:
            jobs = fill(world, share=0.05, also={SCRIPTED: scripted()})
            for name in set(HOSTILE) - {SCRIPTED}:
                jobs[name] = dropped(world, name, rows=2)
            name = "archive/sixty-million-rows.jsonl"
            jobs[name] = split_into_many(world, name)
            with served(world, dashboard_rows=True) as url:
                yield Deployed(world, url, jobs)


@pytest.fixture
def browser(window: Browser, deployed: Deployed) -> Iterator[Browser]:
    """The window, at the pages of the deployment, on one machine."""
    browser = window.at(deployed.url)
    browser.look()
    browser.seen()
    yield browser
    browser.command("Emulation.setScriptExecutionDisabled", value=False)
    browser.command("Network.setExtraHTTPHeaders", headers={})
    window.at("").open("about:blank")  # which asks for nothing any more
