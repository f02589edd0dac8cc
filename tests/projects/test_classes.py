"""The rules of cell classes, and the style sheet made from them."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from fastapi.testclient import TestClient
from skimage.color import deltaE_ciede2000, rgb2lab
from sqlalchemy import select

from app.db import now, reading, transaction
from app.job import Job
from app.models import Annotation, AuditEvent, CellClass, Project, User
from app.projects import presets
from app.projects.colors import luminance, text_on
from tests.browsing import error_of
from tests.factories import make_cells, make_project, make_scanner, make_slide, make_user

SignIn = Callable[[User], TestClient]


@pytest.fixture
def project(client: TestClient, sign_in: SignIn) -> Project:
    """A project with NGS (n), LYT (l) and MON (m), opened by a manager."""
    project = make_project(["NGS", "LYT", "MON"])
    sign_in(make_user("manager"))
    return project


def rows(project: Project) -> dict[str, CellClass]:
    with reading() as session:
        query = select(CellClass).where(CellClass.project_id == project.id).order_by(CellClass.position)
        return {row.code: row for row in session.scalars(query)}


def add(client: TestClient, project: Project, **values: str):
    form = {"code": "EOS", "name": "Eosinophil", "key": "", "color": "#d55e00", "parent": "", **values}
    return client.post(f"/projects/{project.id}/classes", data=form, follow_redirects=False)


def change(client: TestClient, row: CellClass, **values: str):
    form = {
        "code": row.code,
        "name": row.name,
        "key": row.key or "",
        "color": row.color,
        "parent": "",
        "version": row.version,
    }
    return client.post(f"/projects/{row.project_id}/classes/{row.id}", data={**form, **values}, follow_redirects=False)


def annotate(project: Project, row: CellClass) -> None:
    [cell_id] = make_cells(make_slide(make_scanner(project)), [row.code], queue=False)
    with transaction() as session:
        session.add(
            Annotation(
                project_id=project.id, cell_id=cell_id, class_id=row.id, source="label", action="a", created_at=now()
            )
        )


def test_classes_are_added_at_the_end_and_changed(client: TestClient, project: Project) -> None:
    assert add(client, project, key="e", parent="MON").status_code == 303
    row = rows(project)["EOS"]
    assert list(rows(project)) == ["NGS", "LYT", "MON", "EOS"]
    assert (row.key, row.parent_id) == ("e", rows(project)["MON"].id)

    assert change(client, row, code="EO", name="Eosinophil granulocyte", key="o", color="#112233").status_code == 303
    changed = rows(project)["EO"]
    assert (changed.id, changed.name, changed.key, changed.color) == (row.id, "Eosinophil granulocyte", "o", "#112233")
    assert (changed.parent_id, changed.version) == (None, row.version + 1)
    with reading() as session:
        event = session.scalars(select(AuditEvent).where(AuditEvent.what == "class.changed")).one()
    assert event.detail["changes"]["parent"] == ["MON", None]


INJECTIONS = ['X"]{}*{color:red', "a b", "</style>", "ÄÖ", "x" * 13, "", "a\nb", "..", "a;b"]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("code", "ngs", "already a class NGS"),
        ("name", " ", "fill this in"),
        ("key", "n", "belongs to NGS"),
        ("key", "N", "Upper-case"),
        ("key", "[", "uses [ itself"),
        ("key", "]", "uses ] itself"),
        ("key", "?", "uses ? itself"),
        ("key", "ab", "One character"),
        ("key", "\t", ""),
        ("color", "red", "#0072b2"),
        ("color", "#12345", "#0072b2"),
        ("color", "#000;}*{x:y", "#0072b2"),
        ("color", "url(//evil)", "#0072b2"),
        ("parent", "XYZ", "no class XYZ"),
        *(("code", value, "1 to 12 letters") for value in INJECTIONS),
    ],
)
def test_a_refused_class_says_why_beside_the_field(
    client: TestClient, project: Project, field: str, value: str, reason: str
) -> None:
    refused = add(client, project, **{field: value})
    if not reason:  # blanks are no key
        assert rows(project)["EOS"].key is None
        return
    assert refused.status_code == 422
    assert reason in error_of(refused, field)
    assert list(rows(project)) == ["NGS", "LYT", "MON"]
    assert change(client, rows(project)["MON"], **{field: value}).status_code == 422
    assert add(client, project).status_code == 303


def test_parents_form_no_circle(client: TestClient, project: Project) -> None:
    ngs, lyt, mon = rows(project).values()
    assert change(client, ngs, parent="NGS").status_code == 422
    assert change(client, lyt, parent="NGS").status_code == 303
    assert change(client, mon, parent="LYT").status_code == 303
    circle = change(client, ngs, parent="MON")
    assert circle.status_code == 422
    assert "own parent" in error_of(circle, "parent")
    assert rows(project)["NGS"].parent_id is None


def test_a_change_over_somebody_elses_is_refused(client: TestClient, project: Project) -> None:
    seen = rows(project)["NGS"]
    assert change(client, seen, name="Neutrophil").status_code == 303
    late = change(client, seen, name="Granulocyte")
    assert late.status_code == 412
    assert "Somebody else changed the class NGS" in late.text
    assert 'value="Neutrophil"' in late.text
    assert change(client, rows(project)["NGS"], name="Granulocyte").status_code == 303


def test_a_used_class_stays(client: TestClient, project: Project) -> None:
    ngs, lyt, mon = rows(project).values()
    annotate(project, ngs)
    change(client, lyt, parent="MON")

    def delete(row: CellClass):
        return client.post(f"/projects/{project.id}/classes/{row.id}/delete", follow_redirects=False)

    for row, reason in ((ngs, "1 annotation holds it"), (mon, "parent of LYT")):
        refused = delete(row)
        assert refused.status_code == 409
        assert reason in refused.text
    assert delete(lyt).status_code == 303
    assert delete(mon).status_code == 303
    assert list(rows(project)) == ["NGS"]


def test_a_new_code_refits_the_classifier(client: TestClient, project: Project) -> None:
    ngs, lyt, _ = rows(project).values()
    annotate(project, ngs)
    with transaction() as session:
        session.query(Job).delete()
    change(client, lyt, code="LY")
    change(client, ngs, name="Neutrophil")
    with reading() as session:
        assert session.scalars(select(Job.kind)).all() == []
    change(client, rows(project)["NGS"], code="NEU")
    with reading() as session:
        assert session.scalars(select(Job.kind)).all() == ["classifiers.fit"]


def test_classes_can_be_reordered(client: TestClient, project: Project) -> None:
    mon = rows(project)["MON"]
    for direction, order in (
        ("down", ["NGS", "LYT", "MON"]),
        ("up", ["NGS", "MON", "LYT"]),
        ("up", ["MON", "NGS", "LYT"]),
        ("up", ["MON", "NGS", "LYT"]),
        ("down", ["NGS", "MON", "LYT"]),
    ):
        url = f"/projects/{project.id}/classes/{mon.id}/move"
        assert client.post(url, data={"direction": direction}, follow_redirects=False).status_code == 303
        assert list(rows(project)) == order


def test_a_class_belongs_to_its_project(client: TestClient, project: Project) -> None:
    foreign = next(iter(rows(make_project(["EOS"])).values()))
    for path in ("", "/move", "/delete"):
        assert client.post(f"/projects/{project.id}/classes/{foreign.id}{path}").status_code == 404
    assert client.get(f"/projects/{project.id}/classes/{foreign.id}").status_code == 404


def test_the_style_sheet_is_kept_until_a_colour_changes(client: TestClient, project: Project) -> None:
    url = f"/projects/{project.id}/classes.css"
    first = client.get(url)
    assert first.headers["content-type"].startswith("text/css")
    color = rows(project)["NGS"].color
    assert f'[data-class="NGS"],[data-class-code="NGS"]{{--class-color:{color};' in first.text
    assert f'[data-predicted="NGS"]{{--predicted-color:{color}}}' in first.text
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    change(client, rows(project)["NGS"], color="#ABCDEF")
    other = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert other.status_code == 200
    assert "#abcdef" in other.text


@pytest.mark.parametrize("preset", presets.TITLES)
def test_sets_of_classes_can_be_told_apart(preset: str) -> None:
    classes = presets.classes_of(preset)
    keys = [each.key for each in classes]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 1 and (key.islower() or key.isdigit()) for key in keys)
    codes = {each.code for each in classes}
    assert all(each.parent in codes for each in classes if each.parent)
    # Deuteranope vision after Machado et al. 2009, on linear light.
    deuteranope = np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]])
    rgb = np.array([[int(each.color[at : at + 2], 16) / 255 for at in (1, 3, 5)] for each in classes])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ deuteranope.T, 0, 1)
    seen = np.where(seen <= 0.0031308, seen * 12.92, 1.055 * seen ** (1 / 2.4) - 0.055)
    for colors, least in ((rgb, 10), (seen, 8)):
        lab = rgb2lab(colors[None])[0]
        assert min(deltaE_ciede2000(one, other) for one, other in combinations(lab, 2)) > least


def test_text_on_any_colour_keeps_aa_contrast() -> None:
    for color in (
        f"#{r:02x}{g:02x}{b:02x}" for r in range(0, 256, 51) for g in range(0, 256, 51) for b in range(0, 256, 51)
    ):
        light, dark = sorted((luminance(color), luminance(text_on(color))), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_every_change_of_the_classes_is_a_version_that_can_be_read(client: TestClient, project: Project) -> None:
    def versions() -> list[str]:
        page = client.get(f"/projects/{project.id}/classes/versions").raise_for_status().text
        return [" ".join(part.split()) for part in page.split('<th scope="row"')[1:]]

    assert len(versions()) == 1
    add(client, project)
    change(client, rows(project)["NGS"], code="SEG", name="Segmented neutrophil")
    change(client, rows(project)["SEG"])  # nothing is different: no version
    client.post(f"/projects/{project.id}/classes/{rows(project)['EOS'].id}/move", data={"direction": "up"})
    client.post(f"/projects/{project.id}/classes/{rows(project)['EOS'].id}/delete")
    gone, moved, renamed, added, made = versions()
    assert ("EOS went." in gone, "Their order changed." in moved, "EOS came." in added) == (True, True, True)
    assert "SEG: code SEG, was NGS." in renamed
    assert "EOS" not in made
