"""The one MetaData: Alembic compares it with the database, and its convention names each constraint, so that an error
can give the name and a migration can drop it (https://docs.sqlalchemy.org/en/21/core/constraints.html#constraint-naming-conventions).
"""

from sqlalchemy import MetaData

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    }
)
