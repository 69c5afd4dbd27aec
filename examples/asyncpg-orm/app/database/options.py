"""What the data layer reads of the service's settings; `app.settings.DatabaseSettings` has all of it."""

from typing import Literal, Protocol

from app.database.target import Target

# In the words of the SQL standard. Not READ UNCOMMITTED: PostgreSQL has none, MySQL shows what is never committed.
IsolationLevel = Literal["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Options(Protocol):
    """Times are in seconds; docs/database.md says what each one bounds. For what takes as long as it takes, such as a
    migration, a statement_timeout or a transaction_timeout of 0 is none; settings from the environment have one.
    """

    pool_size: int
    max_overflow: int
    pool_timeout: float
    pool_recycle: int
    pool_pre_ping: bool
    external_pooler: bool
    connect_timeout: float
    statement_timeout: float
    transaction_timeout: float
    startup_timeout: float
    isolation_level: IsolationLevel
    replica_fallback: bool
    replica_max_lag: float | None
    replica_read_your_writes: bool

    @property
    def target(self) -> Target: ...

    @property
    def replica_target(self) -> Target | None: ...
