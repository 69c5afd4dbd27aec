"""Between SIGTERM and the stop: requests are served as before, and readiness says 503, so that no new ones are sent.

For a balancer that watches /health/ready and is told by nobody else: else it sends requests to a service that does not
listen any more, or into a connection that is just being closed.
"""

import asyncio
import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from app.health import Readiness

logger = logging.getLogger(__name__)


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
