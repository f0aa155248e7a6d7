"""
BigQuery's wire as far as a client that reads a table goes, on loopback.

The emulators that there are need more than a test can bring (one an extension from the
network, the other Docker), so Google's own client is answered by these two methods:
tables.get and tabledata.list, as the BigQuery v2 REST reference has them.
"""

from typing import Any

from tests.client.recorder import Answer, Recorder, Request


class Tables(Recorder):
    """
    Tables by "project.dataset.table": a list of (name, type) and the rows as lists of
    strings. Pages have two rows.
    """

    def __init__(
        self, **tables: tuple[list[tuple[str, str]], list[list[str | None]]]
    ) -> None:
        super().__init__()
        self._tables = {name.replace("__", "."): t for name, t in tables.items()}

    def answer(self, request: Request) -> Answer:
        path = request.path.removeprefix("/bigquery/v2/projects/")
        project, _, dataset, _, table, *data = path.split("/")
        found = self._tables.get(f"{project}.{dataset}.{table}")
        if found is None:
            error = {"code": 404, "message": f"Not found: Table {table}"}
            return Answer(404, {"error": error})
        columns, rows = found
        if data != ["data"]:
            fields = [{"name": n, "type": t, "mode": "NULLABLE"} for n, t in columns]
            reference = {"projectId": project, "datasetId": dataset, "tableId": table}
            return Answer(
                body={"tableReference": reference, "schema": {"fields": fields}}
            )
        start = int(request.query.get("pageToken", 0))
        page: dict[str, Any] = {
            "totalRows": str(len(rows)),
            "rows": [
                {"f": [{"v": cell} for cell in row]} for row in rows[start : start + 2]
            ],
        }
        if start + 2 < len(rows):
            page["pageToken"] = str(start + 2)
        return Answer(body=page)
