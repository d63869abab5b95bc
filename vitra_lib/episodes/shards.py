"""Parquet files that roll over by a rule that depends on the rows alone, so that appending equals writing at once."""

from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from vitra_lib.episodes.staging import Staging

FILES_PER_CHUNK = 1000
LABELS_PER_FILE = 4096
LABELS_PER_GROUP = 64


def place(number: int) -> tuple[int, int]:
    """(chunk, file) of the n-th file."""
    return divmod(number, FILES_PER_CHUNK)


def shard_path(folder: str, number: int, suffix: str = "parquet") -> str:
    """Relative path of the n-th file: "<folder>/chunk-000/file-000.parquet"."""
    chunk, file = place(number)
    return f"{folder}/chunk-{chunk:03d}/file-{file:03d}.{suffix}"


def write_table(path: Path, table: pa.Table) -> None:
    """One small table as one file."""
    pq.write_table(table, path, compression="snappy")


class ShardWriter:
    """Writes tables into numbered files, one row group per table or per `rows_per_group` rows.

    An existing last file is read back and written anew into the staging folder, so that the bytes do not depend on how
    many sittings it took.
    """

    def __init__(
        self, staging: Staging, folder: str, schema: pa.Schema, rows_per_file: int, rows_per_group: int | None = None
    ) -> None:
        """Prepare; nothing is written yet.

        Args:
            staging: where files go.
            folder: relative folder of the shards.
            schema: of every table.
            rows_per_file: a file that would grow beyond this starts a new one.
            rows_per_group: rows are gathered to groups of this size; None = each table is one row group.
        """
        self._staging, self._folder, self._schema = staging, folder, schema
        self._rows_per_file, self._rows_per_group = rows_per_file, rows_per_group
        self._number, self._rows, self._groups = 0, 0, 0
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.Table] = []
        # Minima and maxima only where readers filter by them: a footer with hundreds of columns is slow to open.
        self._indexed = [f.name for f in schema if f.name in ("episode_index", "index", "frame_index", "name")]

    def resume(self, number: int) -> None:
        """Continue after the existing file `number`."""
        self._number = number
        path = self._staging.root / shard_path(self._folder, number)
        with pq.ParquetFile(path) as old:
            for group in range(old.num_row_groups):
                self.add(old.read_row_group(group).cast(self._schema))

    def add(self, table: pa.Table) -> tuple[int, int, int]:
        """Append rows; returns (chunk, file, row group) where they are."""
        if self._rows and self._rows + table.num_rows > self._rows_per_file:
            self._close_file()
            self._number += 1
        group = self._groups if self._rows_per_group is None else self._rows // self._rows_per_group
        where = (*place(self._number), group)
        self._rows += table.num_rows
        self._pending.append(table)
        if self._rows_per_group is None or sum(t.num_rows for t in self._pending) >= self._rows_per_group:
            self._write_group()
        return where

    def close(self) -> None:
        """Write what waits and finish the last file."""
        if self._rows:
            self._close_file()

    def abandon(self) -> None:
        """Release the open file, which is going to be deleted."""
        with suppress(OSError):  # closing writes a footer, which fails again on the disk that just failed
            self._release()

    def _release(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()

    def _write_group(self) -> None:
        if not self._pending:
            return
        table = pa.concat_tables(self._pending).cast(self._schema).combine_chunks()
        if self._writer is None:
            path = self._staging.path(shard_path(self._folder, self._number))
            self._writer = pq.ParquetWriter(
                path, self._schema, compression="snappy", use_dictionary=False, write_statistics=self._indexed
            )
        self._writer.write_table(table, row_group_size=max(table.num_rows, 1))
        self._groups += 1
        self._pending = []

    def _close_file(self) -> None:
        self._write_group()
        self._release()
        self._rows = self._groups = 0
