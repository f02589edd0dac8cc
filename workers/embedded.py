"""The embedded worker: `python -m workers.embedded QUEUE` takes jobs from the table, one at a time.

The server starts one per queue and starts it again when it dies. It ends by itself when its standard input closes,
which is what happens when the server is gone, however that came about.
"""

import logging
import os
import signal
import socket
import sys
import threading
from contextlib import suppress
from pathlib import Path
from types import FrameType

from app import leases
from app.config import get_settings
from app.db import connect, transaction
from workers.housekeeping import Housekeeper
from workers.runner import run_next

IDLE = 0.05  # seconds between two looks at an empty queue
# People wait for fits, so embedding and unpacking give way to them; all give way to the server, which saves labels.
NICENESS = {"fit": 3, "slides": 7, "embed": 12, "train": 16}

log = logging.getLogger(__name__)


def main(queue: str) -> None:
    """Work on a queue until told to stop."""
    logging.basicConfig(level=logging.INFO, format=f"%(asctime)s {queue} %(levelname)s %(message)s")
    _give_way(NICENESS[queue])
    connect(get_settings().resolved_database_url)
    stop = threading.Event()

    def end(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's to answer; it then ends us
    threading.Thread(target=_end_with_server, daemon=True).start()

    owner = f"{socket.gethostname()}/{get_settings().port}/{queue}"
    with transaction() as session:
        if left := leases.release(session, owner):
            log.warning("took up %s jobs that the last worker could not finish", left)
    housekeeper = Housekeeper()
    while not stop.is_set():
        if queue == "fit":
            housekeeper.tick()
        if not run_next(queue, owner):
            stop.wait(IDLE)


def _give_way(niceness: int) -> None:
    """Let others have the processor first. Where Linux shares it out among sessions, and the server starts each worker
    in one of its own, a process is nice only to those of its session: the session has to be."""
    os.nice(niceness)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # this kernel does not
            Path("/proc/self/autogroup").write_text(str(niceness))


def _end_with_server() -> None:
    # Not sys.stdin: its lock, held by this thread for ever, would make the interpreter abort at the end.
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1])
