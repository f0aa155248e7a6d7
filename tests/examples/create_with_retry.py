"""
Create a job even if the API is overloaded or an answer is lost.

A create that is simply repeated may make two jobs, and both are paid. With a token it
is looked for before it is sent again; the pauses double, and a Retry-After is kept.
"""

import sys

from batchdrop import BatchesError, Client
from batchdrop.batches import BatchJob


def main(client: Client, bucket: str, order: str) -> BatchJob | None:
    try:
        return client.batches.create(
            model="gemini-3.8-flash",
            src=f"gs://{bucket}/requests.jsonl",
            config={
                "destination": f"gs://{bucket}/results/",
                "idempotency_token": order,
                "http_options": {
                    "retry_options": {"attempts": 5, "initial_delay": 0.1}
                },
            },
        )
    except BatchesError as exc:
        print("no job was made, or none that could be found:", exc)
        return None


if __name__ == "__main__":
    with Client(vertexai=True) as client:
        main(client, sys.argv[1], sys.argv[2])
