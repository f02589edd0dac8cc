"""Peak memory of a running installation."""

import re
import threading
import time
from pathlib import Path

from tests.live import Installation

EVERY = 0.25  # seconds between two looks


class Memory:
    """Watches the server and its workers: memory of their own, without the files they have mapped."""

    def __init__(self, running: Installation) -> None:
        self._running = running
        self.peaks: dict[str, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self._running.server is not None:
            pids = {"web": [self._running.server.pid]} | {
                f"{queue} worker": self._running.workers(queue) for queue in ("fit", "slides", "embed", "train")
            }
            for name, of in pids.items():
                self.peaks[name] = max([self.peaks.get(name, 0.0), *map(_megabytes, of)])
            time.sleep(EVERY)

    def show(self) -> None:
        """Print the peaks."""
        print("  peak memory, MB: " + ", ".join(f"{name} {peak:,.0f}" for name, peak in self.peaks.items()), flush=True)


def _megabytes(pid: int) -> float:
    try:
        found = re.search(r"RssAnon:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    except OSError:  # it has ended
        return 0.0
    return int(found[1]) / 1024 if found else 0.0
