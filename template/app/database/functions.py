"""Stored functions that leave something on the session of whoever calls them: no statement says so, but their sources
do, which the server's catalogue has.
"""

import logging
import re
from functools import lru_cache

from app.database import dialect, driver
from app.database.errors import Unavailable
from app.database.statements import CALLED, code_with_names, stays
from app.database.translation import translate

logger = logging.getLogger(__name__)

_STATEMENTS = re.compile(r";|\b(?:BEGIN|THEN|ELSE|LOOP)\b")
_MADE = re.compile(r"\bEXECUTE\b")  # from text, which is in its strings


async def leaving_state(connection: driver.RawConnection) -> frozenset[str]:
    """Their names, in capitals, as of now. Those of which the user may not see the source are not among them."""
    try:
        stored = (await driver.run(connection, dialect.FUNCTIONS, ())).rows
    except Exception as error:
        if isinstance(translate(error, writing=False), Unavailable | None):
            raise
        logger.warning("What stored functions leave on a session is not seen, as the server lists none: %r", error)
        return frozenset()
    return _leaving(tuple(map(tuple, stored)))


@lru_cache(4)  # each connection asks anew, and mostly nothing has changed
def _leaving(functions: tuple[tuple[str, str | None], ...]) -> frozenset[str]:
    sources = [(name.upper(), code_with_names(source), source) for name, source in functions if source]
    leaving = {name for name, code, source in sources if _leaves_state(code, source)}
    while callers := {name for name, code, _ in sources if not leaving.isdisjoint(CALLED.findall(code))} - leaving:
        leaving |= callers
    return frozenset(leaving)


def _leaves_state(code: str, source: str) -> bool:
    strings = code_with_names(source.replace("'", ";")) if _MADE.search(code) else ""
    statements = _STATEMENTS.split(f"{dialect.OF_ITS_OWN.sub(' ', code)};{strings}")
    return any(stays(each.strip("( ")) for each in statements)
