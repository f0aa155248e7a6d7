"""Datasets of the BigQuery emulator."""

import uuid
from collections.abc import Mapping, Sequence
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

    def __enter__(self) -> "Dataset":
        return self

    def __exit__(self, *exc: object) -> None:
        self._client.close()
