"""What README and docker-compose.yml promise: services exist, commands start, settings are documented."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.config import Settings, get_settings
from app.jobs import QUEUE_OF
from app.projects.jobs_pages import KINDS
from tests.factories import make_user
from workers.runner import HANDLERS

ROOT = Path(__file__).parent.parent
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]


def test_compose_describes_all_services() -> None:
    assert set(SERVICES) == {"postgres", "redis", "web", "worker-gpu", "worker-cpu", "sweeper"}
    assert set(COMPOSE["volumes"]) >= {
        volume.split(":")[0] for each in SERVICES.values() for volume in each.get("volumes", [])
    }


def test_every_queue_has_a_worker_and_gpu_work_stays_in_one_process() -> None:
    taken: dict[str, list[str]] = {}
    for name in ("worker-gpu", "worker-cpu"):
        queues = next(part for part in SERVICES[name]["command"] if part.startswith("--queues="))
        for queue in queues.removeprefix("--queues=").split(","):
            taken.setdefault(queue, []).append(name)
    assert set(taken) == set(QUEUE_OF.values())
    assert taken["embed"] == ["worker-gpu"]
    assert "--pool=solo" in SERVICES["worker-gpu"]["command"]


def test_settings_of_the_services_exist() -> None:
    known = {f"FIFTYCELLS_{name.upper()}" for name in Settings.model_fields}
    for name in ("web", "worker-gpu", "worker-cpu", "sweeper"):
        assert set(SERVICES[name]["environment"]) <= known


@pytest.mark.parametrize("name", ["web", "worker-gpu", "worker-cpu", "sweeper"])
def test_commands_of_the_services_start(name: str) -> None:
    """Their programs exist and understand the options; tests/test_carriers.py runs them for real."""
    program, *options = SERVICES[name]["command"]
    if program == "python":
        assert subprocess.run([sys.executable, "-c", f"import {options[1]}"], check=False).returncode == 0
    elif program == "celery":
        found = subprocess.run(
            [Path(sys.executable).parent / program, *options, "--help"], capture_output=True, text=True, check=False
        )
        assert found.returncode == 0, found.stderr
    else:
        help_text = subprocess.run(
            [Path(sys.executable).parent / program, options[0], "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert all(option.replace("--no-", "") in help_text for option in options[1:])


def test_dockerfile_copies_what_the_application_needs() -> None:
    text = (ROOT / "Dockerfile").read_text()
    for folder in ("app", "workers", "migrations", "templates", "static"):
        assert f"COPY {folder} {folder}" in text
    command = re.search(r"CMD (\[.*\])", text)
    assert command
    assert shlex.split(command.group(1).strip("[]").replace(",", " "))[:2] == ["fiftycells", "serve"]


def test_every_setting_is_in_the_readme() -> None:
    text = (ROOT / "README.md").read_text()
    assert [name for name in Settings.model_fields if f"FIFTYCELLS_{name.upper()}" not in text] == []


def test_every_kind_of_job_has_a_queue_and_a_handler() -> None:
    assert set(QUEUE_OF) == set(HANDLERS)
    assert set(QUEUE_OF) == set(KINDS)  # each has a name on the page of jobs


def test_a_lost_password_is_replaced_from_the_console(installation: Path) -> None:
    def run(email: str) -> subprocess.CompletedProcess[str]:
        program = Path(sys.executable).parent / "fiftycells"
        return subprocess.run([program, "password-link", email], capture_output=True, text=True, check=False)

    make_user(email="lost@lab.example")
    assert run("nobody@lab.example").returncode != 0
    assert run("Lost@lab.example").stdout.startswith(f"{get_settings().address}/welcome/")
