"""Trains the encoder of a project further on its own unlabelled cells, by the recipe of `fiftycells pretrain`.

The run lives in a folder of the data folder, so a paused or killed one goes on where it was, on the same machine.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, Final

import numpy as np
import torch
from sqlalchemy import select

from app import jobs
from app.config import get_settings
from app.db import now, reading
from app.encoders.service import register
from app.job import Job
from app.models import Cell, Encoder, Image, Pretraining, Project, Scanner
from app.models.audit import record
from app.storage import get_storage
from workers.ml.bundle import git_revision
from workers.ml.dino import PRESETS, Recipe
from workers.ml.encoders import Encoder as LoadedEncoder
from workers.ml.encoders import Network, load_encoder
from workers.ml.pretrain import PausedError, PretrainError, Progress, Run
from workers.ml.spec import EncoderSpec
from workers.pretraining import ProjectImage
from workers.runner import Task

TELL_EVERY: Final = 3.0  # seconds between two looks whether a manager wants the run to stop
DIM: Final = 128  # of the result at most: more needs more cells and gains nothing (docs/encoders.md)
# A quarter of the preset's: what was learnt on many cells shall be bent towards these, not lost.
LEARNING_RATE: Final = PRESETS["cpu"].learning_rate / 4


def pretrain(task: Task) -> None:
    """Train until the run is done, paused or cancelled; a run that cannot succeed is marked failed, with the reason."""
    run_id = task.arguments["pretraining_id"]
    with reading() as session:
        row = session.get_one(Pretraining, run_id)
        key = Job.dedupe_key == jobs.pretrain_key(run_id)
        other = session.scalar(select(Job.id).where(key, Job.state == "running", Job.id != task.job_id).limit(1))
    if other is not None:
        return  # it sees by itself that the run is wanted again, or not any more
    if row.state == "wanted":
        try:
            _train(task, row)
        except PausedError:
            pass
        except PretrainError as error:
            _fail(task, run_id, str(error))
    _leave(task, run_id)


def _train(task: Task, row: Pretraining) -> None:
    """Train to the end and register the encoder. Raises PausedError, PretrainError."""
    folder = _folder(row.id)
    folder.mkdir(parents=True, exist_ok=True)
    with reading() as session:
        start = session.get_one(Encoder, row.start_encoder_id)
        project = session.get_one(Project, row.project_id)
        scanner = session.get_one(Scanner, row.scanner_id) if row.scanner_id else None
    encoder = load_encoder(get_storage().local_path(f"encoders/{start.sha256}"), "cpu")
    images = _images(row, folder / "images.json")
    whose = f"{project.name}, {scanner.name}" if scanner else project.name
    card = {
        "summary": f"{start.title}, trained further by DINO on unlabelled cells of {whose}",
        "licence": "of the images it has seen and of the encoder it started from",
        "data": f"{len(images)} cells of {whose}",
        "weights": start.sha256,
        "git_revision": git_revision(),
    }
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = Run(
        folder, _recipe(row, encoder.spec, whose), images, lambda _spec: _trainable(encoder), card, device,
        dim=min(encoder.dim, DIM),
    )  # fmt: skip
    path = run.train(_Reporter(task, row.id, run), lambda done, total: task.progress(0, 0, f"{done}/{total}"))
    _finish(task, row.id, path)


def _recipe(row: Pretraining, spec: EncoderSpec, whose: str) -> Recipe:
    side = round(1.2 * spec.size / max(spec.crops))  # frames that hold the largest crop at full size, and some more
    return replace(
        PRESETS["cpu"],
        spec=replace(spec, name=f"{spec.name.split(' · ')[0]} · {whose}"),
        store=max(PRESETS["cpu"].store, side),
        epochs=row.epochs,
        warmup_epochs=min(1, row.epochs / 2),
        learning_rate=LEARNING_RATE,
        seed=row.id,
    )


def _trainable(encoder: LoadedEncoder) -> Network:
    return encoder.network.requires_grad_(requires_grad=True)


def _images(row: Pretraining, kept: Path) -> list[ProjectImage]:
    """Return the images of the run, drawn once: cells that come later do not change a run that was begun."""
    if not kept.is_file():
        shown = select(Cell.image_id).where(Cell.project_id == row.project_id)
        if row.scanner_id:
            shown = shown.where(Cell.scanner_id == row.scanner_id)
        with reading() as session:
            found = session.scalars(select(Image.sha256).where(Image.id.in_(shown)).order_by(Image.sha256)).all()
        if len(found) > row.most_images:
            chosen = np.sort(np.random.default_rng(row.id).choice(len(found), row.most_images, replace=False))
            found = [found[index] for index in chosen]
        fresh = kept.with_suffix(".part")
        fresh.write_text(json.dumps(list(found)))
        fresh.replace(kept)
    return [ProjectImage(f"images/{sha256}") for sha256 in json.loads(kept.read_text())]


class _Reporter:
    """Shows progress, keeps the log, and stops the run when a manager says so."""

    def __init__(self, task: Task, run_id: int, run: Run) -> None:
        self._task, self._run_id, self._run, self._told = task, run_id, run, 0.0

    def __call__(self, progress: Progress) -> None:
        self._task.progress(progress.step, progress.steps)
        if progress.probe is None and monotonic() - self._told < TELL_EVERY:
            return
        self._told = monotonic()
        with self._task.transaction() as session:
            row = session.get_one(Pretraining, self._run_id, with_for_update=True)
            row.log = [_entry(entry) for entry in self._run.log]
            row.seconds_left = progress.seconds_left
            wanted = row.state == "wanted"
        if not wanted:
            raise PausedError


def _entry(logged: dict[str, Any]) -> dict[str, Any]:
    return {name: logged[name] for name in ("epoch", "loss", "same_cell", "rank", "spread")}


def _finish(task: Task, run_id: int, path: Path) -> None:
    with task.transaction() as session:
        row = session.get_one(Pretraining, run_id, with_for_update=True)
        if row.state == "cancelled":
            return
        encoder = register(session, path)
        row.state, row.encoder_id, row.seconds_left, row.ended_at = "done", encoder.id, None, now()
        record(session, "pretraining.done", by=None, project_id=row.project_id, run=run_id, encoder=encoder.title)


def _fail(task: Task, run_id: int, reason: str) -> None:
    with task.transaction() as session:
        row = session.get_one(Pretraining, run_id, with_for_update=True)
        if row.state != "cancelled":
            row.state, row.message, row.ended_at = "failed", reason, now()


def _leave(task: Task, run_id: int) -> None:
    """Clear the folder of a run that has ended away; go on with one that is wanted again since it paused."""
    with task.transaction() as session:
        row = session.get_one(Pretraining, run_id, with_for_update=True)
        row.seconds_left = None
        if row.state == "wanted":
            jobs.pretrain(session, row.project_id, run_id)
        ended = row.ended_at is not None
    if ended:
        shutil.rmtree(_folder(run_id), ignore_errors=True)


def _folder(run_id: int) -> Path:
    return get_settings().data_dir / "pretraining" / str(run_id)
