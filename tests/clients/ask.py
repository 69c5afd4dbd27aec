"""Asks a service by the client that openapi-python-client generated: python ask.py URL"""

import sys

from client import Client
from client.api.developers import (
    change_developer,
    create_developer,
    create_developers,
    list_developers,
    read_developer,
    remove_developer,
)
from client.api.health import ready
from client.models import (
    BulkCreated,
    ConflictProblem,
    Developer,
    DeveloperCreate,
    DeveloperPage,
    DeveloperPatch,
    InvalidRequestProblem,
    Problem,
    Ready,
)
from client.models.create_developers_on_conflict import CreateDevelopersOnConflict

client = Client(base_url=sys.argv[1])
bodies = [DeveloperCreate(name=f"Name {n}", email=f"d{n}@python.example.com", specialty="engines") for n in range(3)]

made = create_developer.sync(client=client, body=bodies[0])
assert isinstance(made, Developer), made
assert made.created_at.tzinfo is not None
assert read_developer.sync(client=client, id=made.id) == made

conflict = create_developer.sync(client=client, body=bodies[0])
assert isinstance(conflict, ConflictProblem), conflict
assert (conflict.status, conflict.constraint) == (409, "uq_developers_email")

invalid = create_developer.sync(client=client, body=DeveloperCreate(name="", email="none", specialty="x"))
assert isinstance(invalid, InvalidRequestProblem), invalid
assert invalid.errors
assert [error.field for error in invalid.errors] == ["body.name", "body.email"]

counted = create_developers.sync(client=client, body=bodies, on_conflict=CreateDevelopersOnConflict.SKIP)
assert isinstance(counted, BulkCreated), counted
assert (counted.inserted, counted.skipped) == (2, 1)

seen: list[str] = []
page = list_developers.sync(client=client, limit=2, specialty="engines")
while isinstance(page, DeveloperPage):
    seen += [developer.name for developer in page.items]
    if not page.next_cursor:
        break
    page = list_developers.sync(client=client, limit=2, specialty="engines", cursor=page.next_cursor)
assert seen == ["Name 0", "Name 1", "Name 2"], seen

changed = change_developer.sync(client=client, id=made.id, body=DeveloperPatch(specialty="poetry"))
assert isinstance(changed, Developer), changed
assert (changed.name, changed.specialty) == ("Name 0", "poetry")
assert remove_developer.sync_detailed(client=client, id=made.id).status_code == 204
gone = read_developer.sync(client=client, id=made.id)
assert isinstance(gone, Problem), gone
assert (gone.status, gone.type_) == (404, "about:blank")
assert isinstance(ready.sync(client=client), Ready)
print("asked")
