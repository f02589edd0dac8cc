"""The web application. Wiring only; nothing is decided here."""

import ctypes
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from app import messages, rest, rest_docs, security
from app.accounts import pages as accounts
from app.adaptations import api as adaptations_api
from app.adaptations import pages as adaptations
from app.annotations import api as annotations_api
from app.annotations import import_api, import_pages, team_pages
from app.annotations import pages as annotations
from app.cells import api as cells_api
from app.cells import pages as cells
from app.classifiers import api as classifiers_api
from app.classifiers import pages as classifiers
from app.config import get_settings
from app.db import connect
from app.error_pages import install_error_pages
from app.fields import api as fields_api
from app.fields import pages as fields
from app.language import ReaderLanguage, languages
from app.mappings import api as mappings_api
from app.mappings import pages as mappings
from app.maps import pages as maps
from app.packs import pages as packs
from app.precedence import Precedence, give_way_between_statements
from app.predictions import api as predictions_api
from app.predictions import pages as predictions
from app.predictions import results_api
from app.pretraining import api as pretraining_api
from app.pretraining import pages as pretraining
from app.projects import api as projects_api
from app.projects import classes_api, events_api, jobs_api, jobs_pages, live
from app.projects import pages as projects
from app.readings import pages as readings
from app.reports import api as reports_api
from app.reports import pages as reports
from app.reports import preview_api, preview_pages
from app.reports import settings_pages as reports_settings
from app.reports.outputs import api as report_files_api
from app.reports.outputs import pages as report_files
from app.scanners import api as scanners_api
from app.scanners import pages as scanners
from app.slides import api as slides_api
from app.slides import pages as slides
from app.slides import tus_api
from app.supervisor import Supervisor
from app.templating import STATIC
from app.watching import api as watching_api
from app.watching import pages as watching
from app.webhooks import api as webhooks_api
from app.webhooks import pages as webhooks

PAGES = (
    adaptations,
    watching,
    accounts,
    projects,
    scanners,
    slides,
    cells,
    fields,
    annotations,
    team_pages,
    import_pages,
    classifiers,
    pretraining,
    predictions,
    readings,
    reports,
    reports_settings,
    preview_pages,
    report_files,
    maps,
    mappings,
    packs,
    live,
    jobs_pages,
    webhooks,
    messages,
)
APIS = (
    adaptations_api,
    watching_api,
    projects_api,
    classes_api,
    scanners_api,
    slides_api,
    tus_api,
    cells_api,
    fields_api,
    annotations_api,
    import_api,
    predictions_api,
    results_api,
    reports_api,
    report_files_api,
    preview_api,
    classifiers_api,
    mappings_api,
    pretraining_api,
    jobs_api,
    events_api,
    webhooks_api,
)

# A label needs the interpreter a dozen times for moments; each time it waits so long for every page in the making.
SWITCH_SECONDS = 0.0001
# Drawing pages, Python would by default look for garbage in all that the server holds every second or two, for 50 ms.
COLLECT = (20_000, 10, 50)
# By default glibc keeps memory apart for each of forty threads, and what one has freed is of no use to the others.
M_ARENA_MAX, ARENAS = -8, 2


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Read the catalogues, connect to the database; run the embedded worker, unless a broker carries jobs."""
    settings = get_settings()
    languages()  # a file that cannot be read is found now, not by the first visitor
    sys.setswitchinterval(SWITCH_SECONDS)
    gc.set_threshold(*COLLECT)
    with suppress(AttributeError):  # other C libraries have no arenas
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)
    give_way_between_statements(connect(settings.resolved_database_url))
    supervisor = Supervisor() if settings.embedded_worker and not settings.broker_url else None
    if supervisor:
        supervisor.start()
    yield
    if supervisor:
        supervisor.stop()


def create_app() -> FastAPI:
    """Build the application with its middleware, routes and error pages."""
    app = FastAPI(
        title="Fiftycells",
        version="1",
        lifespan=lifespan,
        openapi_url=f"{rest.PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
    )
    security.install(app)
    app.add_middleware(ReaderLanguage)
    app.add_middleware(Precedence)
    install_error_pages(app)
    app.mount("/static", StaticFiles(directory=STATIC), name="static")
    for module in PAGES:
        app.include_router(module.router, include_in_schema=False)
    for module in APIS:
        app.include_router(module.router, prefix=rest.PREFIX)
    rest_docs.install(app)
    return app


app = create_app()
