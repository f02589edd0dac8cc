"""Turning pages in every order: nothing twice, nothing left out, back the same way."""

from collections.abc import Callable
from itertools import pairwise
from uuid import uuid4

import numpy as np
import pytest
from fastapi.testclient import TestClient

from app.predictions.ranking import falling, rising
from tests import factories
from tests.pages import grid_of


@pytest.mark.parametrize("precision", [np.float16, np.float32])
def test_values_are_ranked_as_a_stable_sort_does(precision: type) -> None:
    values = np.random.default_rng(0).gamma(1, 3, 5000).astype(precision).astype(np.float32)
    values[:300] = np.repeat([0, 1, np.inf], 100)
    values = np.random.default_rng(1).permutation(values)
    for ranking, keys in ((rising(values), values), (falling(values), -values)):
        assert ranking.rows.tolist() == np.argsort(keys, kind="stable").tolist()
        assert np.array_equal(ranking.keys, keys)


def test_pages_follow_each_other_in_every_order_and_back(
    client: TestClient, sign_in: Callable[..., TestClient], work: Callable[[], int]
) -> None:
    project = factories.make_project(["NGS", "LYT"])
    slide = factories.make_slide(project)
    cells = factories.make_cells(slide, ["NGS", "LYT"] * 30)
    sign_in(factories.make_user(member_of=project))
    items = [{"cell_id": cell, "class": code} for cell, code in zip(cells, ["NGS", "LYT"] * 5, strict=False)]
    client.post(f"/projects/{project.id}/annotations", json={"action": str(uuid4()), "items": items})
    work()
    late = factories.make_cells(slide, ["NGS"] * 9)  # nothing is known of them yet
    for query in (
        "uncertain",
        "confident",
        "novel",
        "newest",
        "random",
        "novel&labelled=no",
        f"similar&similar={cells[3]}",
    ):
        url = f"/projects/{project.id}/cells?order={query}"
        whole = grid_of(client, f"{url}&limit=1000").ids
        assert len(whole) == (59 if "labelled" in query else 69)
        assert query in ("newest", "random") or whole[-9:] == late
        pages = [grid_of(client, f"{url}&limit=7")]
        while cursor := pages[-1].page["next-cursor"]:
            pages.append(grid_of(client, f"{url}&limit=7&cursor={cursor}"))
            assert int(pages[-1].page["offset"]) == sum(len(page.tiles) for page in pages[:-1])
        assert [cell for page in pages for cell in page.ids] == whole
        for earlier, later in pairwise(pages):
            assert grid_of(client, f"{url}&limit=7&cursor={later.page['previous-cursor']}").ids == earlier.ids
        assert not pages[0].page["previous-cursor"]
