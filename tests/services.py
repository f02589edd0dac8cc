"""A real Redis and a real PostgreSQL, started for the tests on free ports and ended with them."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.live import free_port, until


class Redis:
    """A Redis server that can be killed and started again; what it was sent is flushed to its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "Redis":
        options = {"port": self.port, "dir": self.folder, "appendonly": "yes", "save": "", "bind": "127.0.0.1"}
        arguments = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        self.process = subprocess.Popen(["redis-server", *arguments], stdout=subprocess.DEVNULL)
        until(self._answers, 10, "redis-server does not answer")
        return self

    def _answers(self) -> bool:
        ping = ["redis-cli", "-p", str(self.port), "ping"]
        return subprocess.run(ping, capture_output=True, text=True, check=False).stdout.strip() == "PONG"

    def kill(self) -> None:
        """End it as a power cut would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@contextmanager
def postgresql() -> Iterator[str]:
    """Start a PostgreSQL server; yields the URL of an empty database. Its folder is not one of pytest, which closes
    those to other users: PostgreSQL refuses to run as root."""
    with tempfile.TemporaryDirectory(prefix="fiftycells-postgresql-") as name:
        folder, as_user = Path(name), {}
        if os.getuid() == 0:
            owner, as_user = pwd.getpwnam("postgres"), {"user": "postgres"}
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        with _server(folder, as_user) as url:
            yield url


@contextmanager
def _server(folder: Path, as_user: dict[str, Any]) -> Iterator[str]:
    programs, port, data = _programs(), free_port(), folder / "data"
    at = ["-h", "127.0.0.1", "-p", str(port)]

    def run(program: str, *arguments: str | Path, **more: Any) -> int:
        return subprocess.run([programs / program, *arguments], capture_output=True, cwd=folder, **more).returncode

    run("initdb", "-D", data, "-U", "fiftycells", "--auth=trust", "--no-sync", check=True, **as_user)
    server = subprocess.Popen(
        [programs / "postgres", "-D", data, "-k", folder, "-p", str(port), "-c", "listen_addresses=127.0.0.1"],
        cwd=folder,
        stderr=subprocess.DEVNULL,
        **as_user,
    )
    try:
        until(lambda: run("pg_isready", *at) == 0, 30, "PostgreSQL does not answer")
        run("createdb", *at, "-U", "fiftycells", "fiftycells", check=True)
        yield f"postgresql://fiftycells@127.0.0.1:{port}/fiftycells"
    finally:
        server.send_signal(signal.SIGINT)  # a "fast" shutdown, which does not wait for clients
        server.wait(30)


def _programs() -> Path:
    """Debian keeps the server's programs away from the path."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    return versions[-1] if versions else Path(str(shutil.which("initdb"))).parent
