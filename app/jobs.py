"""Everything asynchronous: one function per kind of job.

The row is the truth. It is added in the caller's transaction; after the commit its id is sent to Celery when a broker
is configured, and otherwise the embedded worker finds the row by itself (docs/decisions/0002-job-rows.md).
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, Literal

from sqlalchemy import text, true, update
from sqlalchemy.orm import Session

from app.carrier import send
from app.config import get_settings
from app.db import after_commit, insert_into, now
from app.job import Job

QUEUE_OF = {
    "classifiers.fit": "fit",
    "classifiers.preview": "fit",
    "adaptations.adopt": "fit",
    "adaptations.compare": "fit",
    "annotations.accept": "slides",
    "annotations.import": "slides",
    "annotations.undo": "slides",
    "slides.delete_originals": "slides",
    "slides.unpack": "slides",
    "fields.cut": "slides",
    "encoders.embed_missing": "slides",
    "encoders.pretrain": "train",
    "demo.seed": "slides",
    "cells.embed": "embed",
    "maps.lay_out": "train",
    "maps.extend": "train",
    "packs.export": "slides",
    "packs.examine": "slides",
    "packs.import": "slides",
    "reports.classify": "fit",
    "scanners.watch": "fit",
    "webhooks.send": "slides",
}
WATCH_PAUSE = timedelta(seconds=5)  # in which more slides of a day may be classified
PAUSE = timedelta(seconds=3)  # between two looks whether embeddings are there
EMBED_BATCH = 256  # cells per embedding job: a few seconds of work, so progress moves and little is repeated


def unpack_upload(session: Session, project_id: int, upload_id: int) -> int:
    """Turn what was received of an upload into cells."""
    return _add(
        session,
        "slides.unpack",
        project_id,
        {"upload_id": upload_id},
        f"unpack:{upload_id}",
    )


def delete_originals(session: Session, project_id: int) -> int:
    """Delete the originals of slides of a project whose time is over."""
    return _add(session, "slides.delete_originals", project_id, {}, retention_key(project_id))


def retention_key(project_id: int) -> str:
    """Return the key of the jobs that delete a project's originals."""
    return f"retention:{project_id}"


def embed_images(session: Session, project_id: int, encoder_id: int, image_ids: Sequence[int]) -> list[int]:
    """Compute the embeddings of these images, a job per batch."""
    return [
        _add(
            session,
            "cells.embed",
            project_id,
            {"encoder_id": encoder_id, "image_ids": list(batch)},
            total=len(batch),
        )
        for batch in (image_ids[start : start + EMBED_BATCH] for start in range(0, len(image_ids), EMBED_BATCH))
    ]


def embed_missing(session: Session, project_id: int, encoder_id: int) -> int:
    """Queue embedding jobs for every image of the project that this encoder has not seen."""
    key = f"embed-missing:{project_id}:{encoder_id}"
    return _add(session, "encoders.embed_missing", project_id, {"encoder_id": encoder_id}, key)


def pretrain(session: Session, project_id: int, pretraining_id: int) -> int:
    """Train an encoder further on cells of a project."""
    return _add(
        session, "encoders.pretrain", project_id, {"pretraining_id": pretraining_id}, pretrain_key(pretraining_id)
    )


def pretrain_key(pretraining_id: int) -> str:
    """Return the key of the jobs of a run."""
    return f"pretrain:{pretraining_id}"


def fit_classifier(session: Session, project_id: int) -> int:
    """Refit the assist classifier of a project on its present labels and score all its cells."""
    return _add(session, "classifiers.fit", project_id, {}, f"fit:{project_id}")


def preview_activation(session: Session, project_id: int, preview_id: int) -> int:
    """Classify past slides of a scanner by another classifier, to see what would change."""
    return _add(session, "classifiers.preview", project_id, {"preview_id": preview_id}, preview_key(preview_id))


def preview_key(preview_id: int) -> str:
    """Return the key of the jobs of a preview."""
    return f"preview:{preview_id}"


def compare_candidates(session: Session, project_id: int, adaptation_id: int) -> int:
    """Measure the shift of a scanner, and compare what its labels can be made of."""
    arguments = {"adaptation_id": adaptation_id}
    return _add(session, "adaptations.compare", project_id, arguments, compare_key(adaptation_id))


def adopt_candidate(session: Session, project_id: int, adaptation_id: int, **decision: Any) -> int:
    """Make a candidate of a comparison a version and let it report for its scanner."""
    arguments = {"adaptation_id": adaptation_id, **decision}
    return _add(session, "adaptations.adopt", project_id, arguments, adopt_key(adaptation_id))


def adopt_key(adaptation_id: int) -> str:
    """Return the key of the jobs that follow a decision."""
    return f"adopt:{adaptation_id}"


def compare_key(adaptation_id: int) -> str:
    """Return the key of the jobs that compare for an adaptation."""
    return f"compare:{adaptation_id}"


def accept_batch(session: Session, project_id: int, which: dict[str, Any], *, action: str, user_id: int) -> int:
    """Accept the first `stop` cells of the review `batch_id` but for its `exceptions`, a few at a time."""
    arguments = {**which, "action": action, "user_id": user_id}
    return _add(session, "annotations.accept", project_id, arguments, f"accept:{action}", total=which["stop"])


def import_labels(session: Session, project_id: int, wanted: dict[str, Any], *, action: str, user_id: int) -> int:
    """Give `labels` [[cell id, class code]] of a file, a few at a time; `overwrite` says what becomes of others."""
    arguments = {**wanted, "action": action, "user_id": user_id}
    return _add(session, "annotations.import", project_id, arguments, f"import:{action}", total=len(wanted["labels"]))


def replay_action(session: Session, project_id: int, undone: str, how: str, *, action: str, user_id: int) -> int:
    """Take back ("undo") all labels one action gave, or give them again ("redo"), a few at a time."""
    arguments = {"undone": undone, "how": how, "action": action, "user_id": user_id}
    return _add(session, "annotations.undo", project_id, arguments, f"{how}:{action}")


def lay_out_map(session: Session, project_id: int) -> int:
    """Lay the cells of a project out on a plane, in place of its present map."""
    return _add(session, "maps.lay_out", project_id, {}, map_key(project_id))


def map_key(project_id: int) -> str:
    """Return the key of the job that lays out a project."""
    return f"map:{project_id}"


def extend_map(session: Session, project_id: int) -> int:
    """Place cells that came since on the map of their project; what lies there keeps its place."""
    return _add(session, "maps.extend", project_id, {}, f"extend-map:{project_id}")


def classify_slides(session: Session, project_id: int, slide_ids: Sequence[int], *, again: bool = False) -> None:
    """Put the predictions of the scanner's reporting classifier into the open reports of slides, a job a slide.

    Reports that have predictions of another one keep them unless it is to be done `again`.
    """
    for slide_id in slide_ids:
        key = classify_key(slide_id) + (":again" if again else "")
        _add(session, "reports.classify", project_id, {"slide_id": slide_id, "again": again}, key)


def ask_again(session: Session, job_id: int, **more: Any) -> None:
    """Ask in a moment for a job that runs but still misses something, with `more` arguments."""
    job = session.get_one(Job, job_id)
    again = _add(session, job.kind, job.project_id, {**job.arguments, **more}, job.dedupe_key)
    session.execute(update(Job).where(Job.id == again).values(not_before=now() + PAUSE))


def do_pack(
    session: Session, project_id: int | None, pack_id: int, what: Literal["export", "examine", "import"]
) -> int:
    """Make a lab pack, look into one that was received, or take it in."""
    return _add(session, f"packs.{what}", project_id, {"pack_id": pack_id}, pack_key(pack_id))


def pack_key(pack_id: int) -> str:
    """Return the key of the jobs of a lab pack."""
    return f"pack:{pack_id}"


def watch_day(session: Session, project_id: int, scanner_id: int, day: date) -> int:
    """Add up what a scanner showed on a day (UTC), soon, and look whether it has changed."""
    arguments = {"scanner_id": scanner_id, "day": day.isoformat()}
    job_id = _add(session, "scanners.watch", project_id, arguments, f"watch:{scanner_id}:{day}")
    session.execute(update(Job).where(Job.id == job_id, Job.requests == 1).values(not_before=now() + WATCH_PAUSE))
    return job_id


def cut_cell(session: Session, project_id: int, wanted: dict[str, Any], *, action: str, user_id: int) -> int:
    """Cut a cell out of a field at a box drawn by hand, perhaps in place of another: {field_id, box, replaces}."""
    arguments = {**wanted, "action": action, "user_id": user_id}
    return _add(session, "fields.cut", project_id, arguments, f"cut:{action}")


def classify_key(slide_id: int) -> str:
    """Return the key of the job that classifies a slide."""
    return f"classify:{slide_id}"


def send_webhook(session: Session, project_id: int, webhook_id: int, at: datetime | None) -> None:
    """Send what waits for a receiver, `at` a time or at once; whatever was to be sent later goes with it."""
    job_id = _add(session, "webhooks.send", project_id, {"webhook_id": webhook_id}, f"webhook:{webhook_id}")
    # A row asked for once is the new one; one that waited already is never put off.
    later = (Job.requests == 1) | (Job.not_before > at) if at else true()
    session.execute(update(Job).where(Job.id == job_id, later).values(not_before=at))


def seed_demo(session: Session) -> int:
    """Make the demo project with its generated cells."""
    return _add(session, "demo.seed", None, {}, "demo")


def _add(
    session: Session,
    kind: str,
    project_id: int | None,
    arguments: dict[str, Any],
    dedupe_key: str | None = None,
    *,
    total: int = 0,
) -> int:
    """Add a job, or find the one with the same key that still waits; its id is sent after the commit.

    The update on conflict is not decoration: it locks the waiting row until this transaction commits, so a worker
    cannot claim the job in between and miss what this transaction wrote.
    """
    moment = now()
    statement = (
        insert_into(session, Job)
        .values(
            kind=kind,
            queue=QUEUE_OF[kind],
            project_id=project_id,
            arguments=arguments,
            dedupe_key=dedupe_key,
            progress_total=total,
            created_at=moment,
            sent_at=moment,
        )
        .on_conflict_do_update(
            index_elements=[Job.dedupe_key],
            index_where=text("state = 'queued'"),
            set_={"requests": Job.requests + 1},
        )
        .returning(Job.id, Job.requests)
    )
    job_id, requests = session.execute(statement).one()
    if requests == 1 and get_settings().broker_url:
        after_commit(session, partial(send, job_id, QUEUE_OF[kind]))
    return int(job_id)
