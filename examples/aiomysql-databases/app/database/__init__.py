"""The data layer. Import from here; docs/database.md says what it promises and how to use it."""

from app.database.backend import Session
from app.database.database import Database
from app.database.dependencies import CurrentDatabase, ReadSession, WriteSession
from app.database.errors import (
    AccessDenied,
    CheckViolation,
    DatabaseError,
    Deadlock,
    ForeignKeyViolation,
    InvalidValue,
    LockTimeout,
    NestedSession,
    NotNullViolation,
    PoolTimeout,
    ReadOnlyServer,
    ReadOnlySession,
    Retryable,
    SerializationFailure,
    ServerGone,
    SessionClosed,
    StatementTimeout,
    TooManyConnections,
    TransactionAborted,
    TransactionTimeout,
    Unavailable,
    UniqueViolation,
)
from app.database.isolation import IsolationLevel
from app.database.metadata import metadata
from app.database.types import UtcDateTime

__all__ = [
    "AccessDenied",
    "CheckViolation",
    "CurrentDatabase",
    "Database",
    "DatabaseError",
    "Deadlock",
    "ForeignKeyViolation",
    "InvalidValue",
    "IsolationLevel",
    "LockTimeout",
    "NestedSession",
    "NotNullViolation",
    "PoolTimeout",
    "ReadOnlyServer",
    "ReadOnlySession",
    "ReadSession",
    "Retryable",
    "SerializationFailure",
    "ServerGone",
    "Session",
    "SessionClosed",
    "StatementTimeout",
    "TooManyConnections",
    "TransactionAborted",
    "TransactionTimeout",
    "Unavailable",
    "UniqueViolation",
    "UtcDateTime",
    "WriteSession",
    "metadata",
]
