"""Rows of NDJSON and CSV files: all of them, one by one, and mistakes with their lines."""

import io
import json
from collections.abc import Iterator

import pytest
from pydantic import BaseModel, ConfigDict, Field

from app.row_files import BadLine, Format, RowFile, format_of


class Item(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1)
    size: int


def opened(content: bytes, format: Format) -> RowFile[Item]:
    return RowFile(io.BytesIO(content), format, Item)


CSV = 'name,size\n"two\nlines, ""é""",1\n\nplain,2\n'


@pytest.mark.parametrize("content", [CSV.encode(), b"\xef\xbb\xbf" + CSV.replace("\n", "\r\n").encode()])
def test_the_rows_of_a_csv_file_are_read_with_their_lines(content: bytes) -> None:
    file = opened(content, "csv")
    rows = list(file)
    assert [(row.name.replace("\r", ""), row.size) for row in rows] == [('two\nlines, "é"', 1), ("plain", 2)]
    assert [file.line_of(row) for row in range(len(file))] == [2, 5]


def test_the_rows_of_an_ndjson_file_are_read_with_their_lines() -> None:
    content = b'\xef\xbb\xbf{"name": "\xc3\xa9", "size": 1}\r\n\n  \n{"name": "last", "size": 2}'
    file = opened(content, "ndjson")
    assert list(file) == [Item(name="é", size=1), Item(name="last", size=2)]
    assert [file.line_of(row) for row in range(len(file))] == [1, 4]


@pytest.mark.parametrize("format", ["csv", "ndjson"])
def test_an_empty_file_has_no_rows(format: Format) -> None:
    assert list(opened(b"", format)) == list(opened(b"\n\n", format)) == []


def test_a_line_is_read_only_when_its_row_is_asked_for() -> None:
    class Endless(io.BytesIO):
        lines = 0

        def readline(self, size: int | None = -1) -> bytes:
            self.lines += 1
            return json.dumps({"name": "x", "size": self.lines}).encode() + b"\n"

    endless = Endless()
    rows: Iterator[Item] = iter(RowFile(endless, "ndjson", Item))
    assert [next(rows).size for _ in range(3)] == [1, 2, 3]
    assert endless.lines == 3


MISTAKES: dict[str, tuple[Format, bytes, str]] = {
    "invalid": ("ndjson", b'{"name": "a", "size": 1}\n\n{"name": "", "size": "x"}', "line 3: name: String should have"),
    "not json": ("ndjson", b'{"name": "a", "size": 1}\n{', "line 2: Invalid JSON"),
    "unknown": ("ndjson", b'{"name": "a", "size": 1, "id": 1}', "line 1: id: Extra inputs"),
    "not utf-8": ("ndjson", b'{"name": "\xff", "size": 1}', "line 1: "),
    "long line": ("ndjson", b'{"name": "' + b"x" * 2**21, "line 1: longer than 1,048,576 bytes"),
    "csv invalid": ("csv", b'name,size\n"two\nlines",1\nb,c\n', "line 4: size: Input should be a valid integer"),
    "csv cells": ("csv", b"name,size\na,1\nb\n", "line 3: 1 columns, but the first line names 2"),
    "csv quote": ("csv", b'name,size\n"a,1\n', "line 2: unexpected end of data"),
    "csv not utf-8": ("csv", b"name,size\n\xff,1\n", "line 2: not UTF-8"),
    "csv name twice": ("csv", b"name,size,size\na,1,2\n", "line 1: two columns have one name"),
    "csv names": ("csv", b"name,weight\na,1\n", "line 2: size: Field required; weight: Extra inputs"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_line(mistake: str) -> None:
    format, content, message = MISTAKES[mistake]
    with pytest.raises(BadLine) as caught:
        list(opened(content, format))
    assert str(caught.value).startswith(message)


def test_the_suffix_says_the_format_or_nothing_does() -> None:
    names = ("a.csv", "b.NDJSON", "c.jsonl", "-", "d.json")
    assert [format_of(name) for name in names] == ["csv", "ndjson", "ndjson", None, None]
