"""A real installation for tests and benchmarks: server and workers as processes, started as a person would."""

import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx2

CLIENT = Path(__file__).parents[1] / "static" / "client" / "fiftycells_client.py"
PASSWORD = "correct horse battery"
START_SECONDS = 60
LOOK_AGAIN_SECONDS = 0.1  # more often, looking would take the processor from what is waited for


def client_module() -> ModuleType:
    """Import the client that people copy, afresh."""
    spec = importlib.util.spec_from_file_location("fiftycells_client", CLIENT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Installation:
    """A data folder with its settings, and the processes that serve it."""

    data: Path
    port: int = field(default_factory=free_port)
    database_url: str = ""
    broker_url: str = ""
    more: dict[str, str] = field(default_factory=dict)
    server: subprocess.Popen[str] | None = None
    celery: list[subprocess.Popen[str]] = field(default_factory=list)
    link: str = ""  # of the first manager

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {
            "FIFTYCELLS_DATA_DIR": str(self.data),
            "FIFTYCELLS_PORT": str(self.port),
            "FIFTYCELLS_DATABASE_URL": self.database_url,
            "FIFTYCELLS_BROKER_URL": self.broker_url,
            "PYTHONUNBUFFERED": "1",
            **self.more,
        }

    def start(self, *options: str) -> "Installation":
        """Start `fiftycells serve` and wait until it answers; remembers the link it prints."""
        command = [Path(sys.executable).parent / "fiftycells", "serve", "--no-demo", *options]
        with self._log_file.open("a") as log:
            self.server = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log, text=True)
        until(lambda: self._answers(), START_SECONDS, f"the server does not answer; see {self._log_file}")
        if found := re.findall(r"(http://\S+/welcome/\S+)", self.log()):
            self.link = found[-1]
        return self

    def _answers(self) -> bool:
        assert self.server is not None
        if self.server.poll() is not None:
            raise RuntimeError(f"the server ended: {self.log()[-2000:]}")
        try:
            return httpx2.get(f"{self.url}/sign-in", timeout=2).status_code == 200
        except httpx2.TransportError:
            return False

    def log(self) -> str:
        """Return what the server and its workers printed."""
        return self._log_file.read_text()

    @property
    def _log_file(self) -> Path:
        return self.data.parent / f"{self.data.name}.log"

    def start_celery(self) -> None:
        """Start a Celery worker for all queues and the sweeper, as docker-compose.yml does."""
        program = Path(sys.executable).parent / "celery"
        for number, options in enumerate(
            (["--queues=fit,slides,train", "--concurrency=2"], ["--queues=embed", "--pool=solo"])
        ):
            worker = [program, "-A", "workers.celery_app", "worker", f"--hostname=w{number}@%h", *options]
            self._start_beside(worker)
        self._start_beside([sys.executable, "-m", "workers.housekeeping"])

    def _start_beside(self, command: list[str | Path]) -> None:
        with self._log_file.open("a") as log:
            process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, text=True, start_new_session=True
            )
        self.celery.append(process)

    def kill_celery(self) -> None:
        """End Celery workers and sweeper with all their children as a power cut would."""
        for process in self.celery:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self.celery.clear()

    def kill(self) -> None:
        """End the server as a power cut would."""
        assert self.server is not None
        self.server.kill()
        self.server.wait()
        self.server = None

    def stop(self, how: int = signal.SIGINT) -> int:
        """End the server with a signal, as Ctrl+C does; returns its exit code."""
        self.kill_celery()
        if self.server is None:
            return 0
        self.server.send_signal(how)
        code = self.server.wait(30)
        self.server = None
        return code

    def workers(self, queue: str = "") -> list[int]:
        """Return the process ids of the embedded workers of this installation, or of one queue."""
        return [pid for pid in _processes(f"workers.embedded\0{queue}") if self._is_ours(pid)]

    def _is_ours(self, pid: int) -> bool:
        try:
            return str(self.data) in Path(f"/proc/{pid}/environ").read_text()
        except OSError:
            return False

    def browser(self) -> "Browser":
        """Return a client that is signed in as the first manager."""
        browser = Browser(self.url)
        if self.link:
            browser.welcome(self.link)
            self.link = ""
        else:
            browser.sign_in("manager@lab.example")
        return browser


class Browser(httpx2.Client):
    """What a browser does: cookies, the Origin header and the CSRF token of the page."""

    def __init__(self, url: str) -> None:
        super().__init__(base_url=url, headers={"Origin": url}, follow_redirects=True, timeout=60)

    def welcome(self, link: str) -> None:
        """Become the first manager by a one-time link."""
        form = {"name": "Maria", "email": "manager@lab.example", "password": PASSWORD, "repeated": PASSWORD}
        self.submit(link, form)

    def sign_in(self, email: str) -> None:
        """Sign in with the password of all test people."""
        self.submit("/sign-in", {"email": email, "password": PASSWORD})

    def join(self, manager: "Browser", name: str, role: str) -> None:
        """Accept an invitation of a manager, and become a person of this name and role."""
        page = manager.submit("/accounts", {"role": role}, "/accounts/invitations").text
        found = re.search(r'value="[^"]*(/welcome/[^"]+)"', page)
        assert found, "the page shows no link"
        email = f"{name.lower()}@lab.example"
        self.submit(found.group(1), {"name": name, "email": email, "password": PASSWORD, "repeated": PASSWORD})

    def rest(self) -> httpx2.Client:
        """Make a token on the account page and return a REST client that uses it."""
        page = self.submit("/account", {"token_name": "test", "access": "write", "days": 1}, "/account/tokens")
        found = re.search(r'id="secret"[^>]*value="([^"]+)"', page.text)
        assert found, "the page shows no token"
        headers = {"Authorization": f"Bearer {found.group(1)}"}
        return httpx2.Client(base_url=f"{self.base_url}/api/v1/", headers=headers, timeout=600)

    def submit(self, path: str, form: dict[str, Any], action: str = "") -> httpx2.Response:
        """Open a page, then send its form; raises on an error."""
        token = _token(self.get(path).raise_for_status().text)
        answer = self.post(action or path, data={**form, "csrf_token": token})
        answer.raise_for_status()
        self.headers["X-CSRF-Token"] = _token(answer.text)
        return answer


def _token(page: str) -> str:
    found = re.search(r'name="csrf-token" content="([^"]*)"', page)
    assert found, "the page has no CSRF token"
    return found.group(1)


def _processes(command: str) -> list[int]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                line = (folder / "cmdline").read_text()
            except OSError:
                continue
            if command in line:
                found.append(int(folder.name))
    return found


def until(condition: Any, seconds: float, message: str) -> Any:
    """Wait for a condition to become true and return its value; fails with the message after `seconds`."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(LOOK_AGAIN_SECONDS)
    raise AssertionError(message)


@contextmanager
def installation(data: Path, **settings: Any) -> Iterator[Installation]:
    """Start an installation; everything is ended afterwards, however the test went."""
    data.mkdir(parents=True, exist_ok=True)
    running = Installation(data, **settings)
    try:
        yield running.start()
    finally:
        running.stop()
