"""Writes results as JSONL, CSV or Parquet, a line at a time."""

import csv
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

from batchdrop.cli.result_columns import Cells, Column, Kind, text_of, value_of

#: Most rows in a row group of Parquet, and most bytes of them as JSON.
GROUP_ROWS, GROUP_BYTES = 50_000, 16_000_000

Write = Callable[[bytes], object]


class Format(Protocol):
    """Takes results in their order, and writes them at the latest when it is closed."""

    def add(self, line: bytes) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """Results as they are, or of each the members that are named."""

    def __init__(self, write: Write, columns: Sequence[Column] = ()) -> None:
        self._write = write
        self._names = [column.name for column in columns]
        self._cells = Cells(columns)

    def add(self, line: bytes) -> None:
        if self._names:
            found = zip(self._names, self._cells.of(line), strict=True)
            line = msgspec.json.encode(
                {name: value for name, value in found if value is not None}
            )
        self._write(line + b"\n")

    def close(self) -> None:
        pass


class Csv:
    """CSV as RFC 4180 has it, in UTF-8, with a line of names first."""

    def __init__(self, write: Write, columns: Sequence[Column]) -> None:
        self._kinds = [column.kind for column in columns]
        self._cells = Cells(columns)
        self._rows: Any = csv.writer(_Texts(write))
        self._rows.writerow([column.name for column in columns])

    def add(self, line: bytes) -> None:
        found = zip(self._cells.of(line), self._kinds, strict=True)
        # `csv` writes nothing for None.
        self._rows.writerow(
            [value if value is None else text_of(value, kind) for value, kind in found]
        )

    def close(self) -> None:
        pass


class _Texts:
    """What `csv` writes to."""

    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, text: str) -> None:
        self._write(text.encode())


class Parquet:
    """Parquet, whose columns have the types of their values."""

    def __init__(self, write: Write, columns: Sequence[Column]) -> None:
        """
        Raises:
            ImportError: pyarrow is not installed.
        """
        import pyarrow
        import pyarrow.parquet

        types = {
            Kind.WHOLE: pyarrow.int64(),
            Kind.NUMBER: pyarrow.float64(),
            Kind.TRUTH: pyarrow.bool_(),
        }
        self._kinds = [column.kind for column in columns]
        self._cells = Cells(columns)
        self._schema = pyarrow.schema(
            [(each.name, types.get(each.kind, pyarrow.string())) for each in columns]
        )
        self._batch = pyarrow.record_batch
        sink = pyarrow.PythonFile(_Sink(write), mode="w")
        self._file = pyarrow.parquet.ParquetWriter(sink, self._schema)
        self._begin()

    def _begin(self) -> None:
        self._columns: list[list[Any]] = [[] for _ in self._kinds]
        self._rows = self._bytes = 0

    def add(self, line: bytes) -> None:
        cells = zip(self._columns, self._cells.of(line), self._kinds, strict=True)
        for column, value, kind in cells:
            column.append(value if value is None else value_of(value, kind))
        self._rows += 1
        self._bytes += len(line)
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._end()

    def _end(self) -> None:
        if self._rows:
            self._file.write_batch(self._batch(self._columns, schema=self._schema))
            self._begin()

    def close(self) -> None:
        self._end()
        self._file.close()


class _Sink:
    """What pyarrow writes to: a file that is only appended to."""

    closed = False

    def __init__(self, write: Write) -> None:
        self._write = write
        self._at = 0

    def write(self, data: bytes) -> int:
        self._write(bytes(data))
        self._at += len(data)
        return len(data)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True
