"""Why a job has no results."""

from typing import TYPE_CHECKING

from batchdrop.jobs.codes import Phase

if TYPE_CHECKING:
    from batchdrop.jobs.job import Job


def why_none(job: "Job") -> str:
    """Why a job has no results, and where its answers are, if it has some."""
    if job.phase is Phase.ATTACHED:
        files = ", ".join(job.attached_to) or "none yet"
        return f"it is a manifest, which the job of the file beside it reads: {files}"
    if job.phase is Phase.REJECTED:
        why = f": {job.error.code}: {job.error.message}" if job.error else ""
        return f"no batch was made of it{why}"
    follow = f"`batchdrop show {job.id}` says how far it is"
    if not job.is_over:
        return f"it has not ended ({job.phase}); {follow}"
    if job.collecting:
        return f"its answers are being collected; {follow}"
    batch = job.batch
    place = batch and (batch.output_table or batch.output_directory)
    answers = f"; the API's answers are in {place}" if place else ""
    if job.spec and job.spec.source:
        return f"its rows are those of a table or a dataset{answers}"
    return f"the option results was off for it{answers}"
