"""Jobs that need embeddings of an encoder their project does not use: each is asked for again until these are there."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from app import jobs
from workers.runner import Task


def wait_for(task: Task, encoder_id: int, missing: Sequence[int] | npt.NDArray[np.integer[Any]], left: int) -> bool:
    """Have `missing` images embedded and the job asked for again in a moment; False, and nothing, if there are none.

    `left` is how many images of the project waited for any embedding before it was seen what is missing. Raises
    RuntimeError if nothing waits any more and some are missing still.
    """
    if not len(missing):
        return False
    waited = task.arguments.get("waited", 0)
    if waited and not left:
        raise RuntimeError("the encoder could not see all cells that are needed")
    with task.transaction() as session:
        if not waited:
            jobs.embed_images(session, task.project_id, encoder_id, np.unique(missing).tolist())
        jobs.ask_again(session, task.job_id)
    return True
