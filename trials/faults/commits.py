"""Commits that fail, whose answer is lost, or that nobody waits for; and what is read right after them."""

import asyncio

from books import Balance

from faults.proxy import anything, commits
from faults.world import Missed, World

REFUSE_A_THIRD = (
    """CREATE FUNCTION refuse_a_third() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF hashtext(NEW.specialty) % 3 = 0 THEN RAISE unique_violation; END IF;
        IF hashtext(NEW.specialty) % 7 = 0 THEN RAISE serialization_failure; END IF;
        RETURN NULL; END $$""",
    """CREATE CONSTRAINT TRIGGER refuse_a_third AFTER INSERT OR UPDATE ON developers
        DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_a_third()""",
)


async def fails(world: World) -> Balance:
    """Where there are deferred constraints, by one; elsewhere the connection ends before COMMIT reaches the server."""
    async with world.by_proxy() as (proxy, _, books):
        if world.is_mysql:
            proxy.hurt = commits("before", share=0.3)
        else:
            for statement in REFUSE_A_THIRD:
                world.console.run(statement)
        try:
            async with books.load():
                await world.strike(
                    lambda: min(proxy.struck or books.statuses[409] + books.statuses[503], books.counts["acknowledged"])
                )
        finally:
            if not world.is_mysql:
                world.console.run("DROP FUNCTION refuse_a_third CASCADE")
        return await world.balance(books)


async def answer_is_lost(world: World) -> Balance:
    """The server commits, and the connection is cut before its answer arrives."""
    return await _cut_at_commit(world, "after")


async def cut_in_commit(world: World) -> Balance:
    """The connection is cut before, within and after COMMIT."""
    return await _cut_at_commit(world, "before", "within", "after")


async def _cut_at_commit(world: World, *where: str) -> Balance:
    async with world.by_proxy() as (proxy, _, books):
        proxy.hurt = commits(*where, share=0.2)  # type: ignore[arg-type]
        async with books.load():
            await world.strike(lambda: min(proxy.struck, books.counts["acknowledged"]))
        return await world.balance(books)


async def cut_in_statement(world: World) -> Balance:
    """Any message of the protocol may be the last, whole or half; and connections end while an answer is due."""
    async with world.by_proxy() as (proxy, _, books):
        proxy.hurt = anything("before", "within", "after", share=0.01)
        async with books.load():
            for _ in range(int(world.seconds * 50)):
                await asyncio.sleep(0.02)
                proxy.cut_one_that_waits()
            await world.strike(lambda: min(proxy.struck, books.counts["acknowledged"]), seconds=0)
        return await world.balance(books)


async def read_after_write(world: World) -> Balance:
    """What a 2xx said is what the next request reads, in whichever process and on whichever connection."""
    async with world.serving(variables={"WEB_CONCURRENCY": "2"}) as serving:
        books = world.books(serving)
        async with books.load(writers=12, readers=4):
            await world.strike(lambda: books.counts["acknowledged"], seconds=world.seconds * 2)
        if set(books.statuses) - {200, 201, 204, 404}:
            raise Missed(f"without a fault there were answers of {dict(books.statuses)}")
        return await world.balance(books)


async def hang_ups(world: World) -> Balance:
    """Clients that give up at a random moment: 2,000 times."""
    wanted = 100 if world.short else 2000
    async with world.serving() as serving:
        books = world.books(serving)
        async with books.load(writers=24, readers=4, hang_ups=0.7):
            async with asyncio.timeout(60):
                while books.counts["hung up"] < wanted:
                    await asyncio.sleep(0.05)
        async with books.load():  # all connections are of use again
            await asyncio.sleep(world.seconds / 2)
        world.struck = books.counts["hung up"]
        return await world.balance(books)
