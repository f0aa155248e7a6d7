"""Generate from requests in the program itself, on either API."""

import sys

from batchdrop import Client

QUESTIONS = ["What is AI?", "What is ML?", "What is deep learning?"]


def main(client: Client, bucket: str) -> dict[str | None, str | None]:
    job = client.batches.create(
        model="gemini-3.8-flash",
        src=[
            {
                "contents": [{"role": "user", "parts": [{"text": question}]}],
                "metadata": {"key": f"question-{number}"},
            }
            for number, question in enumerate(QUESTIONS, 1)
        ],
        config={"destination": f"gs://{bucket}/results/", "displayName": "Questions"},
    )
    job = client.batches.wait(job)

    # Answers come in any order; they are joined by key.
    answers = {row.key: row.text for row in client.batches.results(job)}
    for key, text in sorted(answers.items()):
        print(key, text)
    return answers


if __name__ == "__main__":
    with Client() as client:
        main(client, sys.argv[1])
