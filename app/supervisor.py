"""Keeps the embedded worker alive: one child process per queue, started again when it dies."""

import logging
import subprocess
import sys
import threading
from time import monotonic

STOP_SECONDS = 5.0  # time a child has to finish its job when the server stops
PAUSE_MOST = 10.0  # seconds between two starts of a child that keeps dying
QUEUES = ("fit", "slides", "embed", "train")

log = logging.getLogger(__name__)


class Supervisor:
    """Starts, watches and stops the children."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep, args=(queue,), name=f"keep-{queue}", daemon=True) for queue in QUEUES
        ]

    def start(self) -> None:
        """Start all children."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End all children; a job that cannot finish in time is taken up at the next start."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _keep(self, queue: str) -> None:
        pause = 0.1
        while not self._stop.is_set():
            started = monotonic()
            child = _start(queue)
            while child.poll() is None and not self._stop.wait(0.05):
                pass
            if self._stop.is_set():
                _end(child)
                return
            log.error("the %s worker ended (exit code %s); starting it again", queue, child.returncode)
            pause = 0.1 if monotonic() - started > PAUSE_MOST else min(2 * pause, PAUSE_MOST)
            self._stop.wait(pause)


def _start(queue: str) -> subprocess.Popen[bytes]:
    # The pipe is the child's lifeline: it closes when this process is gone, and the child ends.
    # Its own session keeps a Ctrl+C in the terminal from reaching it before the server has decided.
    return subprocess.Popen(  # noqa: S603 (our own module)
        [sys.executable, "-m", "workers.embedded", queue],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    child.terminate()
    try:
        child.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
