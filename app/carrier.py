"""Celery, which carries the ids of jobs to the workers when a broker is configured; `app.jobs` says what they are."""

import logging
from functools import lru_cache

from celery import Celery
from kombu.exceptions import OperationalError

from app.config import get_settings

TASK = "fiftycells.run"

log = logging.getLogger(__name__)


@lru_cache
def carrier(broker_url: str) -> Celery:
    """Return the Celery application that carries job ids; workers and web share its settings."""
    app = Celery("fiftycells", broker=broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        worker_cancel_long_running_tasks_on_connection_loss=True,
        worker_soft_shutdown_timeout=10,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "socket_timeout": 5,
            "socket_connect_timeout": 2,
            "visibility_timeout": 3600,
        },
        task_default_queue="fit",
        task_create_missing_queues=True,
    )
    return app


def send(job_id: int, queue: str) -> None:
    """Tell the workers of a queue that a job waits; if the broker is down, the sweeper sends it again later."""
    try:
        carrier(get_settings().broker_url).send_task(TASK, [job_id], queue=queue, retry=False)
    except OperationalError as error:
        log.warning("job %s waits: the broker does not answer (%s)", job_id, error)
