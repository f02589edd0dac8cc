"""The benchmarks that start a server still run, and end with the line of JSON that is promised."""

import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest


def last_line(*command: str) -> dict[str, Any]:
    """Run a benchmark as a person does; return the figures of its last line."""
    environment = {name: value for name, value in os.environ.items() if name != "FIFTYCELLS_DATA"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no Chromium on this machine")
def test_the_grid_is_measured() -> None:
    found = last_line("benchmarks.grid", "--cells", "400", "--databases", "sqlite", "--repeats", "2", "--seconds", "1")
    figures = found["sqlite"]["400"]
    keys = {"page_p95_ms", "label_p95_ms", "similar_ms", "next_batch_ms", "label_to_scores_p95_s"}
    assert figures.keys() == keys
    assert all(value > 0 for value in figures.values())
