"""The rows of a trace as a Parquet file, for analysis with columns."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from lucos.errors import EnvironmentMissing
from lucos.simulator.rows import Row

GROUP_ROWS = 100_000


class ParquetRows:
    """Rows in groups of GROUP_ROWS. `value` holds words and `number` numbers; `data` is JSON.

    Raises `EnvironmentMissing` when pyarrow is absent.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._pa: Any = import_module("pyarrow")
            parquet: Any = import_module("pyarrow.parquet")
        except ImportError:
            hint = 'pip install "lucos[parquet]", or choose the format jsonl'
            raise EnvironmentMissing("Parquet needs pyarrow, which is not installed", hint=hint) from None
        pa = self._pa
        word = pa.dictionary(pa.int32(), pa.string())
        self._schema = pa.schema(
            [
                ("event", word),
                ("origin", word),
                ("state_name", word),
                ("time", pa.float64()),
                ("value", pa.string()),
                ("number", pa.float64()),
                ("data", pa.string()),
                ("duration", pa.float64()),
            ]
        )
        self._file = parquet.ParquetWriter(path, self._schema, compression="zstd")
        self._rows: list[Row] = []

    def write(self, row: Row) -> None:
        self._rows.append(row)
        if len(self._rows) == GROUP_ROWS:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        words = [row.value if isinstance(row.value, str) else None for row in rows]
        numbers = [None if isinstance(row.value, str) else float(row.value) for row in rows]
        columns = [
            [row.event for row in rows],
            [row.origin for row in rows],
            [row.state_name for row in rows],
            [row.time for row in rows],
            words,
            numbers,
            [msgspec.json.encode(row.data).decode() for row in rows],
            [row.duration for row in rows],
        ]
        arrays = [
            self._pa.array(column, kind) for column, kind in zip(columns, self._schema.types, strict=True)
        ]
        self._file.write_table(self._pa.Table.from_arrays(arrays, schema=self._schema))

    def close(self) -> None:
        if self._rows:
            self._flush()
        self._file.close()
