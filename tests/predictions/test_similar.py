"""Similar cells through HTTP, with the fake encoder."""

from collections.abc import Callable

import numpy as np
from fastapi.testclient import TestClient

from app.predictions.similar import widened
from tests import factories
from tests.pages import grid_of

LOOKS = ["NGS"] * 30 + ["LYT"] * 20


def test_the_nearest_come_first_with_filters_kept_and_every_refusal_says_why(
    client: TestClient, sign_in: Callable[..., TestClient], work: Callable[[], int]
) -> None:
    project = factories.make_project(["NGS", "LYT"])
    slide, other = factories.make_slide(project), factories.make_slide(project)
    cells = factories.make_cells(slide, LOOKS)
    sign_in(factories.make_user(member_of=project))
    page = f"/projects/{project.id}/cells?order=similar&similar={cells[3]}"
    waiting = client.get(page)
    assert waiting.status_code == 404
    assert "has not been prepared yet" in waiting.text
    work()
    shown = grid_of(client, page)
    assert shown.ids[0] == cells[3]
    assert shown.page["reference"] == str(cells[3])
    assert set(shown.ids[:30]) == set(cells[:30])  # all of its look
    far = [float(tile["why"].removeprefix("distance ")) for tile in shown.tiles]
    assert 0 == far[0] < far[1] <= max(far) == far[-1]

    late = factories.make_cells(other, ["NGS", "LYT"])
    assert grid_of(client, page).ids[-2:] == late  # nothing is known of them yet
    work()
    assert set(grid_of(client, page).ids[:31]) == {*cells[:30], late[0]}
    assert set(grid_of(client, f"{page}&slide={other.id}").ids) == set(late)

    foreign = factories.make_cells(factories.make_slide(factories.make_project()), ["NGS"])
    work()
    refused = client.get(f"/projects/{project.id}/cells?order=similar&similar={foreign[0]}")
    assert refused.status_code == 404
    assert f"this project has no cell {foreign[0]}" in refused.text


def test_every_finite_half_is_widened_to_the_same_number() -> None:
    halves = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    finite = halves[np.isfinite(halves)]
    assert len(finite) == 2 * 31 * 1024
    assert np.array_equal(widened(finite).view(np.uint32), finite.astype(np.float32).view(np.uint32))
