"""Split jobs and their parts."""

from collections.abc import Sequence

from batchdrop.jobs.codes import Phase
from batchdrop.jobs.job import Job
from batchdrop.jobs.values import Part, Spec, Staging
from batchdrop.ledger import Ledger
from batchdrop.rows import Rows
from tests.worker.world import GOOD, World


def staged(world: World, *texts: str, epoch: int = 1) -> Job:
    """A job whose parts are staged, but which is not split yet."""
    drop = world.upload(GOOD * 7)
    job = world.ledger.claim(
        Job.claimed(drop, world.holder(), world.now(), world.timing)
    )
    assert job is not None
    found, first = [], 1
    for n, text in enumerate(texts):
        lines = text.splitlines(keepends=True)
        uri = f"{world.settings.work}{job.part_id(n)}/{epoch}/requests.jsonl"
        world.storage.write(uri, (line.encode() for line in lines))
        found.append(
            Part(
                n=n,
                first=first,
                last=first + len(lines) - 1,
                staging=Staging(epoch=epoch, uri=uri, rows=len(lines), bytes=len(text)),
            )
        )
        first += len(lines)
    return parts_staged(world, job, found)


def parts_staged(world: World, job: Job, parts: Sequence[Part]) -> Job:
    """All in one write, where a worker makes one after each part."""

    def move(job: Job) -> Job:
        for part in parts:
            job = job.part_staged(part, world.now(), world.timing)
        return job

    return world.ledger.advance(job, move)


def rows(first: int, n: int) -> str:
    """Returns `n` staged rows; the first is line `first` of the file."""
    return "".join(
        f'{{"key":"r{line:07}","request":{GOOD.strip()}}}\n'
        for line in range(first, first + n)
    )


#: Three parts of a file with seven rows, and a middle one that can't be imported.
THREE = (rows(1, 3), rows(4, 3), rows(7, 1))


def spec_of(world: World, job: Job, **labels: str) -> Spec:
    settings = world.settings
    return Spec(
        kind="generation",
        backend=settings.backend,
        location=settings.location,
        model=settings.model,
        destination=f"{settings.output}{job.source.name}/{job.id}/",
        results=settings.results,
        display_name=job.source.name[-128:],
        labels={
            "batchdrop_job": job.id,
            "batchdrop_deployment": settings.deployment,
            **labels,
        },
        max_active=settings.max_active_jobs,
    )


def split(world: World, job: Job, ledger: Ledger | None = None) -> Job:
    total = sum(part.staging.rows for part in job.parts.values())
    return (ledger or world.ledger).advance(
        job,
        lambda j: j.split(
            spec_of(world, job), Rows(total=total, accepted=total), world.now()
        ),
        creates=lambda j: j.part_jobs(world.now()),
    )


def split_job(world: World, *texts: str) -> Job:
    return split(world, staged(world, *(texts or THREE)))


def submitted(world: World, *texts: str) -> Job:
    """A split job whose parts are all submitted."""
    job = split_job(world, *texts)
    world.tick()
    assert phases(world, job) == [Phase.SUBMITTED] * len(job.parts)
    return job


def parts(world: World, job: Job) -> list[Job]:
    """The jobs of the parts, in order."""
    found = {one.id: one for one in world.ledger.get_all(job.parts)}
    return [found[id] for id in sorted(job.parts, key=lambda id: job.parts[id].n)]


def phases(world: World, job: Job) -> list[Phase]:
    return [part.phase for part in parts(world, job)]


def announced_types(world: World) -> list[str]:
    """The types of all announcements, without their prefix."""
    return [one.type.split(".")[3] for one in world.announced]
