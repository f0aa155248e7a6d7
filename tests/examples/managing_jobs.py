"""List all jobs; stop those that run too long, remove those that ended long ago."""

from datetime import UTC, datetime, timedelta

from batchdrop import Client, JobState

TOO_LONG = timedelta(hours=2)
LONG_AGO = timedelta(days=7)


def main(client: Client) -> tuple[list[str], list[str]]:
    now = datetime.now(UTC)
    cancelled, deleted = [], []
    for job in client.batches.list(config={"page_size": 10}):
        print(job.name, job.display_name, job.state)
        started = job.start_time or job.create_time
        if job.state == JobState.RUNNING and started and now - started > TOO_LONG:
            client.batches.cancel(name=job.name)
            cancelled.append(job.name)
        elif job.done and job.end_time and now - job.end_time > LONG_AGO:
            client.batches.delete(name=job.name)
            deleted.append(job.name)
    return cancelled, deleted


if __name__ == "__main__":
    with Client() as client:
        main(client)
