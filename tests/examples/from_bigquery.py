"""Generate from a BigQuery table into another one."""

import sys

from batchdrop import Client
from batchdrop.batches import ResultRow


def main(client: Client, table: str, answers: str) -> list[ResultRow]:
    job = client.batches.create(
        model="gemini-3.8-flash",
        src=f"bq://{table}",
        config={"destination": f"bq://{answers}", "display_name": "Reviews"},
    )
    job = client.batches.wait(job)

    rows = list(client.batches.results(job))
    for row in rows:
        print(row.key, row.text or row.error or row.blocked)
    return rows


if __name__ == "__main__":
    with Client(vertexai=True) as client:
        main(client, sys.argv[1], sys.argv[2])
