"""The grid, the page of predictions, and the export."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import TypeAdapter, ValidationError

from app import events
from app.accounts.access import CurrentUser
from app.cells.index import columns_of
from app.classifiers import queries
from app.csv_stream import stream
from app.db import SessionDep
from app.errors import Invalid
from app.forms import Id, PathId
from app.language import _
from app.predictions import batches, export, keys, meter, reviews, service
from app.predictions.grid import GridFilters, page
from app.predictions.scores import newest_scores
from app.projects.access import ViewableProject
from app.scanners.queries import scanners
from app.templating import render

MOST_STATES = 1000
GALLERY = 12  # cells shown per predicted class
VERSIONS = 20

Ids = TypeAdapter(list[Id])

router = APIRouter(tags=["predictions"])


@router.get("/projects/{project_id}/cells")
def grid(
    request: Request,
    project: ViewableProject,
    user: CurrentUser,
    session: SessionDep,
    filters: Annotated[GridFilters, Query()],
) -> HTMLResponse:
    """Show one page of the grid; htmx and scripts get the block alone."""
    last_event = events.newest(session)  # before all else: what comes later is sent to the page
    classes = service.classes_by_code(session, project.id)
    shown = page(session, project, classes, filters, user=user)
    rows = service.class_rows(shown.columns, classes, shown.classifier)
    classifier = service.classifier_summary(session, shown.classifier)
    figures = classifier["meter"] if classifier else {}
    return render(
        request,
        "predictions/grid.html",
        block="grid",
        active="cells",
        project=project,
        last_event=last_event,
        classes=rows,
        meter=figures,
        advice=meter.advice(figures, {row["code"]: row["seen"] for row in rows}),
        target=meter.TARGET,
        tiles=service.tiles(session, project, user, shown),
        waiting=service.waiting(session, project, user, shown),
        page=shown,
        reviewed=service.reviewed_class(shown.batch, classes),
        filters=filters,
        scanners=scanners(session, project),
        slides=service.slides(session, project.id),
        classifier=classifier,
        embedding=service.embedding_progress(session, project, shown.columns),
        adapting=service.is_new(session, filters.scanner),
        keys=keys.sheet(user, classes),
    )


@router.post("/projects/{project_id}/keys")
def change_key(project: ViewableProject, user: CurrentUser, session: SessionDep, form: keys.KeyForm) -> dict[str, Any]:
    """Give a command another key; it is kept with the person, for all projects. Answers the keys of the `page`."""
    classes = service.classes_by_code(session, project.id)
    keys.choose(user, form, classes)
    return keys.sheet(user, classes, keys.PAGES[form.page])


@router.post("/projects/{project_id}/batches")
def serve_batch(
    project: ViewableProject, user: CurrentUser, session: SessionDep, form: batches.Place
) -> dict[str, Any]:
    """Choose the next cells for this person to label; the grid then opens the address."""
    return batches.where(batches.next_batch(session, project, user, form), form)


@router.post("/projects/{project_id}/conflicts")
def serve_conflicts(
    project: ViewableProject, user: CurrentUser, session: SessionDep, form: batches.Place
) -> dict[str, Any]:
    """Collect the labels that the others contradict; the grid then opens the address."""
    return batches.where(batches.conflicts(session, project, user, form), form)


@router.post("/projects/{project_id}/reviews")
def begin_review(
    project: ViewableProject, user: CurrentUser, session: SessionDep, form: reviews.ReviewForm
) -> dict[str, Any]:
    """Put the predictions of one class in order; the grid then opens the address."""
    classes = service.classes_by_code(session, project.id)
    return batches.where(reviews.begin(session, project, user, form, classes), form)


@router.post("/projects/{project_id}/batches/{batch_id}/accept", status_code=202)
def accept_review(
    project: ViewableProject, batch_id: PathId, user: CurrentUser, session: SessionDep, form: reviews.AcceptForm
) -> dict[str, Any]:
    """Accept predictions of a review up to a place, seen or not, as one step that can be undone."""
    job_id = reviews.accept(session, batches.find_batch(session, project.id, batch_id), user, form)
    return {"job_id": job_id}


@router.get("/projects/{project_id}/cells/state")
def state(project: ViewableProject, user: CurrentUser, session: SessionDep, ids: str) -> dict[str, Any]:
    """Return label and prediction of some cells (`ids`: comma-separated); the grid refreshes its tiles with it."""
    try:
        cell_ids = Ids.validate_python([part for part in ids.split(",") if part])
    except ValidationError as error:
        raise Invalid(_("ids: numbers separated by commas are expected.")) from error
    if len(cell_ids) > MOST_STATES:
        raise Invalid(_("ids: at most %(most_states)s cells at a time.", most_states=MOST_STATES))
    shown = page(session, project, {}, GridFilters(order="newest", limit=1), user=user)
    cells = service.tiles(session, project, user, shown, cell_ids)
    return {
        "version": shown.classifier.version if shown.classifier else None,
        "cells": [{**cell, "class": cell["class_code"]} for cell in cells],
    }


@router.get("/projects/{project_id}/predictions")
def overview(request: Request, project: ViewableProject, user: CurrentUser, session: SessionDep) -> HTMLResponse:
    """Show counts and a gallery per predicted class, the confidences, the evaluation and the versions."""
    last_event = events.newest(session)
    classes = service.classes_by_code(session, project.id)
    shown = page(session, project, classes, GridFilters(order="confident", limit=1))
    galleries = {}
    if shown.classifier:
        for code in shown.classifier.classes:
            if code in classes and shown.classifier.predicted.get(code):
                wanted = GridFilters(order="confident", predicted=code, limit=GALLERY)
                best = page(session, project, classes, wanted, user=user)
                galleries[code] = service.tiles(session, project, user, best)
    rows = service.class_rows(shown.columns, classes, shown.classifier)
    figures = meter.meter(shown.classifier.metrics) if shown.classifier and shown.classifier.metrics else {}
    return render(
        request,
        "predictions/overview.html",
        active="predictions",
        project=project,
        last_event=last_event,
        classes=rows,
        advice=meter.advice(figures, {row["code"]: row["seen"] for row in rows}),
        total=len(shown.columns),
        galleries=galleries,
        classifier=shown.classifier,
        order=service.confusion_order(shown.classifier, classes) if shown.classifier else [],
        curve=meter.learning_curve(session, project.id),
        histogram=service.confidence_histogram(shown.table) if shown.table else [],
        versions=queries.versions(session, project.id, below=None, limit=VERSIONS),
        encoder_names=queries.encoder_names(session),
    )


@router.get("/projects/{project_id}/predictions.csv")
def export_predictions(project: ViewableProject, session: SessionDep) -> StreamingResponse:
    """Download prediction, probabilities and label of every cell."""
    classifier, table = newest_scores(session, project.id, columns_of(session, project.id))
    if classifier is None or table is None:
        raise Invalid(_("There are no predictions yet: label two cells in each of two classes first."))
    return stream(
        f"{project.name} predictions version {classifier.version}",
        export.header(classifier),
        export.rows(project.id, classifier, table),
    )
