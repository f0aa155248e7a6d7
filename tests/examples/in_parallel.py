"""Several jobs at once, from asyncio."""

import asyncio
import sys

from batchdrop import Client
from batchdrop.batches import BatchJob

LANGUAGES = ["French", "German", "Spanish"]


async def translate(client: Client, bucket: str, language: str) -> BatchJob:
    batches = client.aio.batches
    job = await batches.create(
        model="gemini-3.8-flash",
        src=[{"contents": f"Translate to {language}: {w}"} for w in ("one", "two")],
        config={
            "destination": f"gs://{bucket}/{language}/",
            "display_name": f"Translation to {language}",
        },
    )
    return await batches.wait(job)


async def run(client: Client, bucket: str) -> list[BatchJob]:
    async with client.aio:
        jobs = await asyncio.gather(
            *(translate(client, bucket, language) for language in LANGUAGES)
        )
    for language, job in zip(LANGUAGES, jobs, strict=True):
        print(language, job.state)
    return jobs


def main(client: Client, bucket: str) -> list[BatchJob]:
    return asyncio.run(run(client, bucket))


if __name__ == "__main__":
    with Client() as client:
        main(client, sys.argv[1])
