"""A client of Fiftycells in one file, for scanner software and scripts; Python 3.10 or newer and nothing else.

    client = Client("http://127.0.0.1:8000", token)
    result = client.submit(project=1, scanner=1, accession="2026-004711", files=["cells.zip"])
    print(result["state"], result["differential"])

Lines drop: every request is tried again, with the same Idempotency-Key, so nothing is created or counted twice. Files
that the server has are not sent, large ones are sent in pieces and go on where the line broke. MIT licence.
"""

import base64
import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.parse
import uuid
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LARGE = 64_000_000  # bytes; from here on a file is sent in pieces
PIECE = 8_000_000
TOGETHER = 100  # files of one request
TUS = {"Tus-Resumable": "1.0.0"}
BYTES = "application/offset+octet-stream"
TRY_AGAIN = {408, 423, 429, 500, 502, 503, 504}
SECONDS = 60.0  # without an answer, until a request is given up


class FiftycellsError(Exception):
    """The server refused; `status` and `problem` (RFC 9457) say why."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('detail', problem)}")
        self.status, self.problem = status, problem


class Client:
    """Talks to one server with the token of one person. Use one for each thread."""

    def __init__(self, server: str, token: str, attempts: int = 8) -> None:
        self.server, self.token, self.attempts = urllib.parse.urlsplit(server), token, attempts

    def submit(
        self, project: int, scanner: int, accession: str, files: Iterable[str | Path], kind: str = "cells"
    ) -> dict[str, Any]:
        """Create a slide, send its files, complete it, and wait for its result."""
        slide = self.create_slide(project, scanner, accession)
        self.send(slide, files, kind)
        self.complete(slide)
        return self.wait(slide)

    def create_slide(self, project: int, scanner: int, accession: str) -> int:
        """Return the id of a new slide, or of the one that has this accession."""
        try:
            body = {"accession": accession, "scanner_id": scanner}
            return int(self.call("POST", f"/projects/{project}/slides", body)["id"])
        except FiftycellsError as error:
            if error.status == 409 and "slide_id" in error.problem:
                return int(error.problem["slide_id"])
            raise

    def send(self, slide: int, files: Iterable[str | Path], kind: str = "cells") -> None:
        """Send files (single images or ZIPs), those the server lacks; `kind` is what they show (docs/rest.md)."""
        paths = [Path(file) for file in files]
        for start in range(0, len(paths), TOGETHER):
            some = {_sha256(path): path for path in paths[start : start + TOGETHER]}
            marks = [{"sha256": sha256, "name": path.name} for sha256, path in some.items()]
            answer = self.call("POST", f"/slides/{slide}/known", {"kind": kind, "files": marks})
            missing = [some[sha256] for sha256 in answer["missing"]]
            small = [path for path in missing if path.stat().st_size < LARGE]
            if small:
                self._send_together(slide, small, kind)
            for path in missing:
                if path not in small:
                    self._send_in_pieces(slide, path, kind)

    def complete(self, slide: int) -> None:
        """Say that these were all files of a slide."""
        self.call("POST", f"/slides/{slide}/complete")

    def wait(self, slide: int, seconds: float = 3600) -> dict[str, Any]:
        """Return the slide when its result is there (needs_review, signed) or it failed. Raises TimeoutError."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found: dict[str, Any] = self.call("GET", f"/slides/{slide}")
            if found["state"] in {"needs_review", "signed", "failed"}:
                return found
            time.sleep(0.5)
        raise TimeoutError(f"slide {slide} has no result after {seconds:.0f} s")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Ask for a path after /api/v1 with a JSON body; returns what it answers."""
        data = b"" if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"} if data else {}
        answer = self.request(method, f"/api/v1{path}", data, headers)[1]
        return json.loads(answer) if answer else None

    def request(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[Mapping[str, str], bytes]:
        """Send a request until it is answered; returns headers and body. Raises FiftycellsError, OSError."""
        sent = {"Authorization": f"Bearer {self.token}", **headers}
        if method == "POST":
            sent["Idempotency-Key"] = uuid.uuid4().hex
        for attempt in range(self.attempts):
            last = attempt == self.attempts - 1
            try:
                status, found, body = self.exchange(method, path, data, sent)
            except (OSError, http.client.HTTPException):
                if last or method == "PATCH":  # whoever sends pieces asks first how much has arrived
                    raise
            else:
                if status < 400:
                    return found, body
                problem = _problem(body)
                answering = status == 409 and "Idempotency-Key" in str(problem.get("detail", ""))
                if last or not (status in TRY_AGAIN or answering):
                    raise FiftycellsError(status, problem)
            time.sleep(min(0.2 * 2**attempt, 20))
        raise AssertionError("unreachable")

    def exchange(
        self, method: str, path: str, data: bytes, headers: Mapping[str, str]
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send a request once."""
        line = self.connect()
        try:
            line.request(method, path, data, dict(headers))
            answer = line.getresponse()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        finally:
            line.close()

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection to the server."""
        if self.server.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(self.server.netloc, timeout=SECONDS, context=context)
        return http.client.HTTPConnection(self.server.netloc, timeout=SECONDS)

    def _send_together(self, slide: int, paths: Iterable[Path], kind: str) -> None:
        mark = uuid.uuid4().hex
        parts = [f'--{mark}\r\nContent-Disposition: form-data; name="kind"\r\n\r\n{kind}\r\n'.encode()]
        for path in paths:
            name = path.name.replace('"', "%22")
            head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
            parts += [head.encode(), b"Content-Type: application/octet-stream\r\n\r\n", path.read_bytes(), b"\r\n"]
        body = b"".join([*parts, f"--{mark}--\r\n".encode()])
        headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
        self.request("POST", f"/api/v1/slides/{slide}/images", body, headers)

    def _announce(self, slide: int, path: Path, kind: str) -> str:
        """Announce a large file; returns the path its pieces go to."""
        values = {"filename": path.name, "kind": kind}
        metadata = ",".join(f"{key} {base64.b64encode(value.encode()).decode()}" for key, value in values.items())
        headers = {**TUS, "Upload-Length": str(path.stat().st_size), "Upload-Metadata": metadata}
        return self.request("POST", f"/api/v1/slides/{slide}/uploads", b"", headers)[0]["location"]

    def _send_in_pieces(self, slide: int, path: Path, kind: str) -> None:
        """Send a large file by tus 1.0: after a broken line the server is asked where to go on."""
        where, size = self._announce(slide, path, kind), path.stat().st_size
        offset, reached, broken = 0, 0, 0  # an offset below 0 is not known
        with path.open("rb") as file:
            while offset < size:
                try:
                    if offset < 0:
                        found, _ = self.request("HEAD", where, b"", TUS)
                    else:
                        file.seek(offset)
                        headers = {**TUS, "Upload-Offset": str(offset), "Content-Type": BYTES}
                        found, _ = self.request("PATCH", where, file.read(PIECE), headers)
                    offset = int(found["upload-offset"])
                except (OSError, http.client.HTTPException, FiftycellsError) as error:
                    passes = not isinstance(error, FiftycellsError) or error.status in {409, *TRY_AGAIN}
                    broken += 1
                    if broken == self.attempts or not passes:
                        raise
                    time.sleep(min(0.2 * 2**broken, 20))
                    offset = -1
                if offset > reached:
                    reached, broken = offset, 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        found = hashlib.sha256()
        while piece := file.read(1 << 20):
            found.update(piece)
        return found.hexdigest()


def _problem(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {"detail": body[:200].decode(errors="replace")}
    return found if isinstance(found, dict) else {"detail": found}


if __name__ == "__main__":
    import sys

    project, scanner, accession, *names = sys.argv[1:]
    done = Client(os.environ["FIFTYCELLS_SERVER"], os.environ["FIFTYCELLS_TOKEN"]).submit(
        int(project), int(scanner), accession, names
    )
    print(json.dumps(done, indent=2))  # noqa: T201
