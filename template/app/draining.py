"""Asked to stop: before the start is over, and between SIGTERM and the stop, when requests are served as before and
readiness says 503, so that no new ones are sent.

For a balancer that watches /health/ready and is told by nobody else: else it sends requests to a service that does not
listen any more, or into a connection that is just being closed.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

from app.health import Readiness

logger = logging.getLogger(__name__)


class Stopped(Exception):
    """By a signal, before the start was over."""


@asynccontextmanager
async def stoppable() -> AsyncIterator[None]:
    """Within the block SIGTERM and SIGINT end what it waits for, which the server would wait for. Raises Stopped, also
    where the server was asked before.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None or threading.current_thread() is not threading.main_thread():  # only there signals are handled
        yield
        return
    of_server = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    server = getattr(of_server[signal.SIGTERM], "__self__", None)
    if getattr(server, "should_exit", False):  # uvicorn, which was asked while it imported the application
        raise Stopped
    asked: list[int] = []
    left = False

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        restore()
        loop.call_soon_threadsafe(cancel)
        signal.raise_signal(number)

    def cancel() -> None:
        if not left:  # else what it waited for was there in the same moment: the server stops once it has started
            task.cancel()

    def restore() -> None:
        for number, handler in of_server.items():
            if signal.getsignal(number) is stop:
                signal.signal(number, handler)

    for number in of_server:
        signal.signal(number, stop)
    try:
        yield
    except asyncio.CancelledError:
        if not asked:
            raise
        task.uncancel()
        raise Stopped from None
    finally:
        left = True
        restore()


@contextmanager
def draining(readiness: Readiness, delay: float) -> Iterator[None]:
    """Within the block SIGTERM reaches the server `delay` seconds late, a second SIGTERM at once."""
    if not delay or threading.current_thread() is not threading.main_thread():  # only there signals are handled
        yield
        return
    loop = asyncio.get_running_loop()
    of_server = signal.getsignal(signal.SIGTERM)
    timers: list[asyncio.TimerHandle] = []

    def begin() -> None:
        readiness.stopping = True
        logger.info("Stopping in %g s, for requests that are sent until the balancer knows", delay)
        timers.append(loop.call_later(delay, signal.raise_signal, signal.SIGTERM))

    def drain(_signal: int, _frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, of_server)
        loop.call_soon_threadsafe(begin)

    signal.signal(signal.SIGTERM, drain)
    try:
        yield
    finally:
        for timer in timers:
            timer.cancel()
        if signal.getsignal(signal.SIGTERM) is drain:
            signal.signal(signal.SIGTERM, of_server)
