"""One configuration for all requests of a job; a request's own values go first."""

import sys

from batchdrop import Client
from batchdrop.batches import BatchJob


def main(client: Client, bucket: str) -> BatchJob:
    job = client.batches.create(
        model="gemini-3.8-flash",
        src=f"gs://{bucket}/requests.jsonl",
        config={
            "destination": f"gs://{bucket}/results/",
            "display_name": "Careful answers",
            "generation_config": {
                "temperature": 0.7,
                "top_p": 0.95,
                "top_k": 40,
                "max_output_tokens": 2048,
                "stop_sequences": ["END"],
                "response_mime_type": "application/json",
                "safety_settings": [
                    {
                        "category": "HARM_CATEGORY_HATE_SPEECH",
                        "threshold": "BLOCK_MEDIUM_AND_ABOVE",
                    }
                ],
                "system_instruction": "You are a careful assistant.",
            },
        },
    )
    return client.batches.wait(job)


if __name__ == "__main__":
    with Client() as client:
        main(client, sys.argv[1])
