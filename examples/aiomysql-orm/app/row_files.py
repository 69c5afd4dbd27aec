"""Rows of a file, NDJSON or CSV: read line by line, checked by a schema, and each mistake named with its line."""

import csv
import sys
from array import array
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Generic, Literal, TypeVar

from pydantic import BaseModel, ValidationError

Format = Literal["ndjson", "csv"]
Row = TypeVar("Row", bound=BaseModel)

LONGEST_LINE = 1024 * 1024  # bytes
SUFFIXES: dict[str, Format] = {".ndjson": "ndjson", ".jsonl": "ndjson", ".csv": "csv"}


class BadLine(Exception):
    """Which line, and what is wrong with it."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")


class RowFile(Generic[Row]):
    """The rows of a file, once. A CSV file begins with the names of its columns; lines that are empty are no rows."""

    def __init__(self, file: BinaryIO, format: Format, model: type[Row]) -> None:
        self._file = file
        self._format = format
        self._model = model
        self._lines = array("Q")  # of each row: not always the row's number, and small enough to keep
        self._line = 0

    def __iter__(self) -> Iterator[Row]:
        """Raises BadLine."""
        return self._ndjson() if self._format == "ndjson" else self._csv()

    def __len__(self) -> int:
        """How many rows were read so far."""
        return len(self._lines)

    def line_of(self, row: int) -> int:
        """Where a row began, that has been read."""
        return self._lines[row]

    def _ndjson(self) -> Iterator[Row]:
        for line in self._read():
            if line.strip():
                yield self._checked(self._line, line)

    def _csv(self) -> Iterator[Row]:
        reader = csv.reader(self._text(), strict=True)
        names: list[str] = []
        began = 1
        try:
            for cells in reader:
                if cells and not names:
                    names = [name.strip() for name in cells]
                    if len({*names}) < len(names):
                        raise BadLine(began, "two columns have one name")
                elif cells and len(cells) != len(names):
                    raise BadLine(began, f"{len(cells)} columns, but the first line names {len(names)}")
                elif cells:
                    yield self._checked(began, dict(zip(names, cells, strict=True)))
                began = self._line + 1
        except csv.Error as error:
            raise BadLine(began, str(error)) from None

    def _checked(self, line: int, row: bytes | dict[str, str]) -> Row:
        try:
            model = self._model
            checked = model.model_validate_json(row) if isinstance(row, bytes) else model.model_validate(row)
        except ValidationError as error:
            problems = (f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors())
            raise BadLine(line, "; ".join(problems)) from None
        self._lines.append(line)
        return checked

    def _text(self) -> Iterator[str]:
        for line in self._read():
            try:
                yield line.decode()
            except UnicodeDecodeError:
                raise BadLine(self._line, "not UTF-8") from None

    def _read(self) -> Iterator[bytes]:
        for line in iter(partial(self._file.readline, LONGEST_LINE), b""):
            self._line += 1
            if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                raise BadLine(self._line, f"longer than {LONGEST_LINE:,} bytes")
            yield (line.removeprefix(b"\xef\xbb\xbf") if self._line == 1 else line)  # which spreadsheets begin with


def open_file(name: str) -> BinaryIO:
    """`-` is standard input. Raises OSError."""
    return sys.stdin.buffer if name == "-" else Path(name).open("rb")


def format_of(name: str) -> Format | None:
    """By the file's suffix, None where that says nothing."""
    return SUFFIXES.get(Path(name).suffix.lower())
