"""Jobs that need embeddings of an encoder their project does not use: each is asked for again until these are there."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app import jobs
from workers.runner import Task

MOST_TIMES: Final = 5
"""So often a job has images embedded: each time may be for cells that were labelled while it waited."""


def wait_for(task: Task, encoder_id: int, missing: Sequence[int] | npt.NDArray[np.integer[Any]], left: int) -> bool:
    """Have `missing` images embedded and the job asked for again in a moment; False, and nothing, if there are none.

    `left` is how many images of the project waited for any embedding before it was seen what is missing. Raises
    RuntimeError if some are missing still after MOST_TIMES.
    """
    if not len(missing):
        return False
    times = task.arguments.get("times", 0)
    now = not times or not left
    if now and times == MOST_TIMES:
        raise RuntimeError("the encoder could not see all cells that are needed")
    with task.transaction() as session:
        if now:
            jobs.embed_images(session, task.project_id, encoder_id, np.unique(missing).tolist())
        jobs.ask_again(session, task.job_id, times=times + now)
    return True
