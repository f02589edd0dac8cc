"""docs/rest.md is true: its commands run, in its order, against a real server with its worker."""

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live import Installation, installation
from workers.ml.rendering import demo_cells

DOCUMENT = Path(__file__).parents[2] / "docs" / "rest.md"
SECONDS = 120


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Installation]:
    with installation(tmp_path / "data") as server:
        yield server


def draw_cells(folder: Path) -> None:
    """What `fiftycells demo-cells --out cells` draws, in three classes."""
    folder.mkdir()
    kinds = {"NGS": 1.0, "LYT": 1.0, "EOS": 1.0}
    for number, (_, code, data) in enumerate(demo_cells(18, scanner="A", seed=1, weights=kinds)):
        (folder / f"generated-A-1-{code}-{number}.jpg").write_bytes(data)


def test_the_commands_run_as_they_stand(running: Installation, tmp_path: Path) -> None:
    draw_cells(tmp_path / "cells")
    with closing(running.browser()) as browser, closing(browser.rest()) as client:
        token = client.headers["Authorization"].removeprefix("Bearer ")
    commands = re.findall(r"^```bash\n(.*?)^```", DOCUMENT.read_text(), re.DOTALL | re.MULTILINE)
    assert len(commands) >= 8
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(commands)],
        cwd=tmp_path,
        env=os.environ | {"TOKEN": token, "SERVER": running.url},
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode == 0, done.stdout + done.stderr + running.log()[-2000:]
    for expected in ('"stored": 18', '"state": "reporting"', '"cells": 18', '"saved"', "event: scores"):
        assert expected in done.stdout, done.stdout
