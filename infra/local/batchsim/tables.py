"""BigQuery tables, read and written through Google's own client."""

import base64
import datetime
import decimal
import os
import threading
from collections.abc import Iterable, Iterator
from typing import IO, Any

import msgspec

from batchsim.jobs import JobFailed
from batchsim.storage import PATIENCE, session

NO_EMULATOR = (
    "batchsim has no BigQuery to work with: set BIGQUERY_EMULATOR_HOST to an "
    "emulator's address, such as http://127.0.0.1:9050, or pass bigquery=..."
)

#: Column types that can't be passed through (docs, batch inference from BigQuery).
_NOT_PASSED = ("RECORD", "STRUCT", "RANGE", "DATETIME", "GEOGRAPHY")

#: Where answers go if only a project is named (docs, the console's default).
DEFAULT_DATASET = "gen_ai_batch_prediction"

#: A column's name and BigQuery type.
Column = tuple[str, str]


class Tables:
    """
    The tables of an emulator. `address` is by default `BIGQUERY_EMULATOR_HOST`.

    Never Google's own. Raises JobFailed for whatever goes wrong.
    """

    def __init__(self, address: str | None = None) -> None:
        self._address = address
        self._clients: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def columns(self, uri: str, payload: str) -> list[Column]:
        """
        The columns of an input table.

        JobFailed 9 if it isn't there, 3 if it lacks `payload` or has a column that
        can't be passed through.
        """
        project, dataset, table = _parts(uri)
        with _translated(uri):
            found = self._client(project).get_table(
                f"{project}.{dataset}.{table}", retry=_retry()
            )
        columns = [(field.name, field.field_type) for field in found.schema]
        for field in found.schema:
            if field.name == payload:
                continue
            if field.mode == "REPEATED" or field.field_type in _NOT_PASSED:
                raise JobFailed(
                    3,
                    f"{uri}: column {field.name} is of a type that can't be passed "
                    "through: ARRAY, STRUCT, RANGE, DATETIME or GEOGRAPHY.",
                )
            if field.name in ("response", "status"):
                raise JobFailed(
                    3, f"{uri}: the column name {field.name} is reserved for output."
                )
        if payload not in dict(columns):
            raise JobFailed(3, f"{uri} has no column `{payload}`.")
        return columns

    def rows(self, uri: str, payload: str) -> Iterator[bytes]:
        """The rows as JSON lines. `payload` is an object even if it is a text."""
        project, dataset, table = _parts(uri)
        with _translated(uri):
            listed = self._client(project).list_rows(
                f"{project}.{dataset}.{table}", page_size=5000, retry=_retry()
            )
            for row in listed:
                values = dict(row.items())
                if isinstance(values[payload], str):
                    values[payload] = _parsed(values[payload], uri, payload)
                yield msgspec.json.encode(values, enc_hook=_plain)

    def place(self, uri: str, stamp: str) -> tuple[str, str, str]:
        """
        The project, dataset and table for answers to `uri`.

        `uri` is `bq://p`, `bq://p.d` or `bq://p.d.t`; names that it lacks are made up.
        JobFailed 9 if a named dataset doesn't exist, 6 if the table already does.
        """
        from google.api_core import exceptions

        project, dataset, table = _parts(uri)
        client = self._client(project)
        with _translated(uri):
            if not dataset:
                dataset = DEFAULT_DATASET
                made = f"{project}.{dataset}"
                client.create_dataset(made, exists_ok=True, retry=_retry())
            client.get_dataset(f"{project}.{dataset}", retry=_retry())
            if not table:
                return project, dataset, f"predictions_{stamp}"
            try:
                client.get_table(f"{project}.{dataset}.{table}", retry=_retry())
            except exceptions.NotFound:
                return project, dataset, table
        raise JobFailed(6, f"The table {uri} already exists; name a new one.")

    def write(
        self, place: tuple[str, str, str], columns: Iterable[Column], lines: IO[bytes]
    ) -> None:
        """Creates the table from `lines` of JSON objects."""
        from google.cloud import bigquery

        config = bigquery.LoadJobConfig(
            source_format=bigquery.SourceFormat.NEWLINE_DELIMITED_JSON,
            schema=[bigquery.SchemaField(name, kind) for name, kind in columns],
        )
        with _translated(f"bq://{'.'.join(place)}"):
            self._client(place[0]).load_table_from_file(
                lines, ".".join(place), job_config=config, rewind=True
            ).result(retry=_retry())

    def _client(self, project: str) -> Any:
        address = self._address or os.environ.get("BIGQUERY_EMULATOR_HOST")
        if not address:
            raise JobFailed(9, NO_EMULATOR)
        if "://" not in address:
            address = f"http://{address}"
        with self._lock:
            if (address, project) not in self._clients:
                self._clients[address, project] = _client(address, project)
            return self._clients[address, project]


def output_columns(source: Iterable[Column], payload: str) -> list[Column]:
    """The columns of a table of answers: the source's and those of the line format."""
    kept = [(name, kind) for name, kind in source if name not in ("method", "url")]
    if payload == "body":
        return [*kept, ("response", "JSON"), ("id", "STRING")]
    extra = [("response", "JSON"), ("status", "STRING")]
    if payload == "request" and "custom_id" not in dict(kept):
        extra.append(("processed_time", "TIMESTAMP"))
    return [*kept, *extra]


def columns_of(rows: Iterable[dict[str, Any]]) -> list[Column]:
    """The columns that JSON rows need, for a source that isn't a table."""
    kinds = {str: "STRING", bool: "BOOLEAN", int: "INTEGER", float: "FLOAT"}
    columns: dict[str, str] = {}
    for row in rows:
        for name, value in row.items():
            kind = kinds.get(type(value), "JSON")
            # Only a column of numbers may have two types: the import allows no others.
            if columns.get(name) != "FLOAT":
                columns[name] = kind
    return list(columns.items())


def _client(address: str, project: str) -> Any:
    # Imported only for a job with a table: it is slow, and an optional dependency.
    try:
        from google.cloud import bigquery
    except ImportError:
        raise JobFailed(
            9, "BigQuery jobs need google-cloud-bigquery: pip install batchdrop[sim]"
        ) from None
    from google.auth.credentials import AnonymousCredentials

    return bigquery.Client(
        project=project,
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": address},
        _http=session(),
    )


def _parts(uri: str) -> tuple[str, str, str]:
    """`bq://p.d.t` -> ("p", "d", "t"); absent names are ""."""
    names = uri.removeprefix("bq://").replace(":", ".").split(".")
    project, dataset, table = [*names, "", ""][:3]
    return project, dataset, table


def _parsed(text: str, uri: str, payload: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as exc:
        raise JobFailed(3, f"{uri}: a `{payload}` is not JSON: {exc}.") from None


def _plain(value: Any) -> Any:
    """A column's value as a load job takes it."""
    if isinstance(value, datetime.datetime | datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError(f"{type(value)} in a table")


def _retry() -> Any:
    # By default the client retries for ten minutes if the emulator is gone.
    from google.cloud.bigquery.retry import DEFAULT_RETRY

    return DEFAULT_RETRY.with_timeout(PATIENCE)


class _translated:
    """Raise the BigQuery client's errors as a job's."""

    def __init__(self, uri: str) -> None:
        self._uri = uri

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if exc is None or isinstance(exc, JobFailed | GeneratorExit):
            return
        from google.api_core import exceptions

        if isinstance(exc, exceptions.NotFound):
            raise JobFailed(9, f"{self._uri}: no such dataset or table.") from exc
        if isinstance(exc, exceptions.Forbidden):
            raise JobFailed(7, f"Permission denied on {self._uri}.") from exc
        if isinstance(exc, exceptions.GoogleAPIError | OSError):
            raise JobFailed(13, f"Cannot use {self._uri}: {exc}") from exc
