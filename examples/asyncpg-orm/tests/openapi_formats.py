"""Strings of a form that JSON Schema has no words for, as schemathesis makes them. This file is the team's."""

import schemathesis
from email_validator import EmailNotValidError, validate_email
from hypothesis import strategies

from app.pagination import encode_cursor

# Of the pages of developers, whose key is a name and an id; the next page, of which a server says it, is asked for too.
NAMES_AND_IDS = strategies.tuples(strategies.text(max_size=100), strategies.integers(1, 2**63 - 1))


def is_accepted(address: str) -> bool:
    try:
        validate_email(address, check_deliverability=False)
    except EmailNotValidError:  # somebody@example.test
        return False
    return True


schemathesis.openapi.format("cursor", NAMES_AND_IDS.map(encode_cursor))
schemathesis.openapi.format("email", strategies.emails().filter(is_accepted))
