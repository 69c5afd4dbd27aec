"""The data layer. Import from here; docs/database.md says what it promises and how to use it."""

from app.database.backend import Session as Session
from app.database.database import Database as Database
from app.database.dependencies import CurrentDatabase as CurrentDatabase
from app.database.dependencies import ReadSession as ReadSession
from app.database.dependencies import WriteSession as WriteSession
from app.database.errors import *  # noqa: F403  # all of them are what a team may catch
from app.database.metadata import metadata as metadata
from app.database.options import IsolationLevel as IsolationLevel
from app.database.types import UtcDateTime as UtcDateTime
