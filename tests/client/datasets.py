"""Datasets of the BigQuery emulator."""

import io
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

PROJECT = "p"


class Dataset:
    """A fresh dataset, for the length of a block."""

    def __init__(self, address: str) -> None:
        self._client = bigquery.Client(
            project=PROJECT,
            credentials=AnonymousCredentials(),
            client_options={"api_endpoint": address},
        )
        self.full_name = f"{PROJECT}.d{uuid.uuid4().hex[:12]}"
        self._client.create_dataset(self.full_name)

    def table(
        self, name: str, columns: Mapping[str, str], rows: Sequence[Mapping[str, Any]]
    ) -> str:
        """Makes a table; "project.dataset.table"."""
        full_name = f"{self.full_name}.{name}"
        schema = [bigquery.SchemaField(n, kind) for n, kind in columns.items()]
        self._client.create_table(bigquery.Table(full_name, schema=schema))
        assert self._client.insert_rows_json(full_name, rows) == []
        return full_name

    def load(self, name: str, schema: Path, data: bytes) -> list[dict[str, Any]]:
        """Makes a table of JSON lines as `bq load` does; returns its rows."""
        full_name = f"{self.full_name}.{name}"
        config = bigquery.LoadJobConfig(
            schema=self._client.schema_from_json(schema),
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
        )
        self._client.load_table_from_file(
            io.BytesIO(data), full_name, job_config=config
        ).result()
        return self.rows(full_name)

    def rows(self, full_name: str) -> list[dict[str, Any]]:
        """The rows of a table."""
        return [dict(row) for row in self._client.list_rows(full_name)]

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()
