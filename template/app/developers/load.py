"""Import developers from a file: python -m app.developers.load FILE

All of them in one transaction, or none: the first mistake is named with its line. Of any size in bounded memory.
"""

import argparse
import asyncio
import os
import sys
from collections.abc import Iterator
from time import monotonic
from typing import BinaryIO, NoReturn, get_args

from app.database import Database, DatabaseError, OutcomeUnknown
from app.database.bulk import Upserted
from app.developers import bulk_queries
from app.developers.bulk_queries import OnConflict
from app.developers.schemas import DeveloperCreate
from app.row_files import BadLine, Format, RowFile, format_of, open_file
from app.settings import InvalidSettings, load_settings

LIMIT = 3600.0  # seconds for the transaction; a request's limit is not meant for a file


def main() -> None:
    arguments = _arguments()
    format: Format | None = arguments.format or format_of(arguments.file)
    if format is None:
        _fail(f"{arguments.file} does not say what it is: add --format ndjson or --format csv")
    try:
        with open_file(arguments.file) as file:
            rows = RowFile(file, format, DeveloperCreate)
            done = asyncio.run(_load(rows, _shown(rows, file), arguments.on_conflict))
    except (OSError, InvalidSettings) as error:
        _fail(str(error))
    except BadLine as error:
        _fail(f"{error}. Nothing was imported.")
    except OutcomeUnknown as error:
        _fail(f"{error}: look whether the rows are there.")
    except DatabaseError as error:
        line = "" if error.row is None else f"line {rows.line_of(error.row)}: "
        _fail(f"{line}{error}{f' ({error.constraint})' if error.constraint else ''}. Nothing was imported.")
    except KeyboardInterrupt:
        _fail("Interrupted. Nothing was imported, unless it was just being committed.")
    print(f"{done.inserted:,} inserted, {done.updated:,} updated, {done.skipped:,} skipped")


async def _load(rows: RowFile[DeveloperCreate], shown: Iterator[DeveloperCreate], on_conflict: OnConflict) -> Upserted:
    settings = load_settings().database
    database = Database(settings.model_copy(update={"transaction_timeout": LIMIT}))
    try:
        async with database.transaction() as session:
            return await bulk_queries.create_all(session, shown, on_conflict)
    finally:
        await database.close()


def _shown(rows: RowFile[DeveloperCreate], file: BinaryIO) -> Iterator[DeveloperCreate]:
    """The rows; how far they are is shown where somebody looks on."""
    if not sys.stderr.isatty():
        yield from rows
        return
    size = os.fstat(file.fileno()).st_size if file.seekable() else 0
    shown = 0.0
    for row in rows:
        if monotonic() - shown > 0.2:
            shown = monotonic()
            done = file.tell() / size if size else 0
            share = f"{'#' * int(30 * done):30} {100 * done:3.0f} %  " if size else ""
            print(f"\r{share}{len(rows):,} rows", end="", file=sys.stderr, flush=True)
        yield row
    print(f"\r{len(rows):,} rows read, storing the last of them".ljust(60), file=sys.stderr)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m app.developers.load", description=__doc__.partition("\n")[2])
    parser.add_argument("file", help="NDJSON or CSV, by its suffix; - is standard input")
    parser.add_argument("--format", choices=get_args(Format), help="where the suffix does not say")
    parser.add_argument(
        "--on-conflict",
        choices=get_args(OnConflict),
        default="fail",
        help="what to do with an e-mail address that is there already (%(default)s)",
    )
    return parser.parse_args()


def _fail(reason: str) -> NoReturn:
    sys.exit(f"{' '.join(reason.split())}")


if __name__ == "__main__":
    main()
