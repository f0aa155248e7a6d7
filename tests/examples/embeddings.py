"""Embed texts; the call is the same on both APIs."""

import sys

from batchdrop import Client


def main(client: Client, bucket: str) -> dict[str | None, int]:
    job = client.batches.create_embeddings(
        model="gemini-embedding-2",
        src=[
            {
                "content": text,
                "config": {"output_dimensionality": 64},
                "metadata": {"key": key},
            }
            for key, text in [("greeting", "Hello"), ("farewell", "Goodbye")]
        ],
        config={
            "destination": f"gs://{bucket}/vectors/",
            "display_name": "Embeddings",
        },
    )
    job = client.batches.wait(job)

    sizes = {}
    for row in client.batches.results(job):
        if row.response:
            sizes[row.key] = len(row.response["embedding"]["values"])
    print(sizes)
    return sizes


if __name__ == "__main__":
    with Client() as client:
        main(client, sys.argv[1])
