"""Generate from a JSONL in Cloud Storage, and wait for the answers."""

import sys

from batchdrop import Client
from batchdrop.batches import BatchJob


def main(client: Client, bucket: str) -> BatchJob:
    job = client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{bucket}/requests.jsonl",
        config={
            "destination": f"gs://{bucket}/results/",
            "display_name": "Translation Batch",
        },
    )
    print("created:", job.name, job.state)

    job = client.batches.wait(job, on_progress=lambda j: print("state:", j.state))
    print("ended:", job.state, "answers in", job.config.destination)
    return job


if __name__ == "__main__":
    with Client(vertexai=True) as client:
        main(client, sys.argv[1])
