"""Celery carries job ids; the job table says what they are.

celery -A workers.celery_app worker -Q embed --pool=solo
celery -A workers.celery_app worker -Q fit,slides,train --pool=prefork --concurrency=2
"""

import os
import socket
from typing import Any

from celery.signals import worker_init, worker_process_init

from app.carrier import TASK, carrier
from app.config import get_settings
from app.db import connect
from workers.runner import run_job

app = carrier(get_settings().broker_url)


@worker_init.connect  # type: ignore[untyped-decorator]
@worker_process_init.connect  # type: ignore[untyped-decorator]
def _connect(**_: Any) -> None:
    """Every process gets its own connections; a forked one must not share its parent's."""
    connect(get_settings().resolved_database_url)


@app.task(name=TASK)  # type: ignore[untyped-decorator]
def run(job_id: int) -> None:
    """Run the job with this id, unless somebody already has."""
    run_job(job_id, f"{socket.gethostname()}/{os.getpid()}")
