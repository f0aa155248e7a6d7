"""
Makes the table of roles in docs/how-to/deploy.md from a plan.

    python -m tests.infra.rights      # rewrites the table
"""

import re
import tempfile
from pathlib import Path

from tests.infra import terraform
from tests.infra.grants import grants
from tests.infra.plan import Plan
from tests.infra.provider import serving

PAGE = terraform.ROOT / "docs/how-to/deploy.md"
BEGIN, END = "<!-- rights: made by tests/infra/rights.py -->", "<!-- /rights -->"

#: What a role allows, for the table. A role that isn't here fails the table's test.
MEANING = {
    "roles/aiplatform.user": "make, list, get and cancel batches",
    "roles/artifactregistry.writer": "put images there",
    "roles/datastore.user": "read and write documents",
    "roles/eventarc.eventReceiver": "receive events",
    "roles/logging.logWriter": "write logs",
    "roles/monitoring.viewer": "read metrics",
    "roles/pubsub.publisher": "publish",
    "roles/pubsub.subscriber": "take messages off",
    "roles/run.invoker": "call it",
    "roles/storage.objectCreator": "make objects",
    "roles/storage.objectUser": "read, make, replace and delete objects",
    "roles/storage.objectViewer": "read objects",
}


def table(plan: Plan) -> str:
    """The table, in Markdown."""
    rows = [
        f"| {_account(plan, grant.who)} | {MEANING[grant.role]} | {grant.on} "
        f"| `{grant.role}` |"
        for grant in grants(plan)
    ]
    return "\n".join(["| who | may | on | role |", "|---|---|---|---|", *rows])


def _account(plan: Plan, who: str) -> str:
    """The id of an account, in code style; a member of another kind as it is."""
    for account in plan.of("google_service_account"):
        if account.address.partition(".")[2] in (
            who,
            f'function["{who}"]',
            f'caller["{who}"]',
        ):
            return f"`{account.values['account_id']}`"
    return who


def put(text: str, plan: Plan) -> str:
    """The page's text with the current table in it."""
    pattern = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    return re.sub(pattern, f"{BEGIN}\n{table(plan)}\n{END}", text, flags=re.S)


def main() -> None:
    """Writes the table into docs/how-to/deploy.md."""
    schema = terraform.INFRA / "tests/schema/google-8.7.0.json.gz"
    with tempfile.TemporaryDirectory() as folder, serving(schema) as env:
        plan = Plan(terraform.copy(Path(folder), env).plan())
    PAGE.write_text(put(PAGE.read_text(), plan))


if __name__ == "__main__":
    main()
