"""No request and no job reads a whole table that grows with the cells: SQLite says how it would find the rows."""

import io
import re
from collections.abc import Callable
from typing import Any
from uuid import uuid4

from fastapi.testclient import TestClient
from sqlalchemy import event

from app import db
from tests import factories
from tests.rest.conftest import zip_of

TABLES = "cell|annotation|label_action|embedding|image|job|event|upload_part|refusal|audit_event|classifier"
SCAN = re.compile(
    rf"SCAN ({TABLES})\b(?! USING INDEX ix_upload_part_open)"
)  # which holds only what is not unpacked yet
PAGES = (
    "cells", "cells?order=novel&labelled=no", "cells/state?ids=1,2,3", "predictions", "slides", "slides/1", "classes",
    "classifiers", "audit", "team", "actions", "annotations.csv", "predictions.csv",
)  # fmt: skip
REST = (
    "projects/1", "slides/1", "slides/1/cells", "cells/1", "jobs/1", "projects/1/predictions", "projects/1/classifiers",
    "projects/1/annotations", "projects/1/annotations?current=true", "projects/1/annotations?cell_id=1",
)  # fmt: skip


def label_and_undo(client: TestClient, project: str, work: Callable[[], int]) -> None:
    items = [{"cell_id": cell, "class": "NGS" if cell % 2 else "LYT"} for cell in range(1, 7)]
    action = str(uuid4())
    client.post(f"{project}/annotations", json={"action": action, "items": items})
    work()
    for how in ("undo", "redo"):
        undone = client.post(f"{project}/actions/{action}/{how}", json={"action": str(uuid4())})
        assert undone.json()["saved"] == 6
    work()


def test_nothing_is_found_by_reading_everything(
    client: TestClient, sign_in: Callable[..., TestClient], work: Callable[[], int]
) -> None:
    statements: dict[str, Any] = {}

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if not many and statement.startswith(("SELECT", "UPDATE", "DELETE")):
            statements.setdefault(statement, parameters)

    project = factories.make_project()
    slide = factories.make_slide(project)
    user = factories.make_user(member_of=project)
    sign_in(user)
    event.listen(db.engine(), "before_cursor_execute", note)
    files = {"files": ("cells.zip", io.BytesIO(zip_of(["NGS", "LYT"] * 4)), "application/zip")}
    client.post(f"/slides/{slide.id}/images", files=files, follow_redirects=False)
    work()
    label_and_undo(client, f"/projects/{project.id}", work)
    token = {"Authorization": f"Bearer {factories.make_token(user)}"}
    answers = [client.get(f"/projects/{project.id}/{path}") for path in PAGES]
    answers += [client.get(path) for path in ("/jobs", "/cells/1/thumbnail")]
    answers += [client.get(f"/api/v1/{path}", headers=token) for path in REST]
    assert {answer.status_code for answer in answers} == {200}

    with db.engine().connect() as connection:
        plans = {
            statement: "; ".join(
                row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
            )
            for statement, parameters in statements.items()
        }
    assert len(plans) > 60
    assert not {statement: plan for statement, plan in plans.items() if SCAN.search(plan)}
