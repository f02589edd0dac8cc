"""Twenty people who label at once, each with the grid open: a browser of theirs follows the scores."""

import io
import random
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from uuid import uuid4

import httpx2
from sqlalchemy.orm import Session

from app.accounts.service import start_session
from app.db import now
from app.models import Member, User
from app.security import csrf_token
from benchmarks.generated import Generated, engine_of
from tests.live import Browser, Installation, until
from workers.ml.rendering import cheap_cells

PEOPLE = 20
SECONDS_PER_LABEL = 1.0
"""At the microscope a cell takes 1.0 s, in DI-60 1.8 s (doi 10.3343/alm.2022.42.4.398): so this is fast work."""
REST = 0.25
REST_SHARE = 3
"""Seconds between two looks at new scores, and how many times as long as the look took: as in static/js/pages.js."""


EMBEDDED = 200
"""Cells uploaded for each second that people label: more than the machine embeds."""


def sign_in_people(running: Installation, project: int, count: int = PEOPLE) -> list[Browser]:
    """Make technicians who are members of a project and signed in."""
    browsers = []
    engine = engine_of(running)
    with Session(engine, expire_on_commit=False) as session, session.begin():
        for number in range(count):
            email = f"person{number}@lab.example"
            user = User(email=email, name=email, role="technician", password_hash="-", created_at=now())
            session.add(user)
            session.flush()
            session.add(Member(project_id=project, user_id=user.id))
            cookie = start_session(session, user)
            browser = Browser(running.url)
            browser.cookies.set("fiftycells", cookie)
            browser.headers["X-CSRF-Token"] = csrf_token(cookie)
            browsers.append(browser)
    engine.dispose()
    return browsers


@contextmanager
def embedding(rest: httpx2.Client, generated: Generated, seconds: float) -> Iterator[None]:
    """Upload a ZIP of cells, and go on while they are embedded; says so where that ended too early."""
    slide = f"slides/{generated.slides[0]}"

    def waiting() -> int:
        counts = rest.get(slide).raise_for_status().json()["counts"]
        return int(counts["cells"] - counts["embedded"])

    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        for name, _, data in cheap_cells(int(EMBEDDED * seconds), "B", 1):
            file.writestr(name, data)
    files = {"files": ("cells.zip", archive.getvalue(), "application/zip")}
    answer = rest.post(f"{slide}/images", files=files).raise_for_status().headers["Location"]
    job = answer.removeprefix("/api/v1/")
    until(lambda: rest.get(job).json()["state"] == "done", 300, "the cells are not stored")
    yield
    if not waiting():
        print("  all cells were embedded before the people had ended: the label figures are too good")


@dataclass
class Crowd:
    """What the people lived through: seconds of each label, of each fresh page, and of an empty page at that time.

    All wait at `ready` until each has labelled once.
    """

    labels: list[float] = field(default_factory=list)
    pages: list[float] = field(default_factory=list)
    empty: list[float] = field(default_factory=list)
    ready: threading.Barrier = field(default_factory=lambda: threading.Barrier(PEOPLE + 1, timeout=60))


def work_together(people: Sequence[Browser], generated: Generated, seconds: float) -> Crowd:
    """Let everybody label cells of their own, one a second, for so long.

    Their tabs are a process of their own: what tabs do with a page must not delay the clock of a label.
    """
    crowd, over = Crowd(), threading.Event()
    processes = get_context("spawn")
    here, there = processes.Pipe()
    cookies = [dict(person.cookies) for person in people]
    tabs = processes.Process(target=_tabs, args=(there, str(people[0].base_url), cookies, generated.project))
    tabs.start()
    here.recv()  # they listen
    threads = [
        threading.Thread(target=_label, args=(person, number, generated, crowd, over))
        for number, person in enumerate(people)
    ]
    for thread in threads:
        thread.start()
    crowd.ready.wait()
    end = time.monotonic() + seconds
    with httpx2.Client(base_url=people[0].base_url, cookies=people[0].cookies, timeout=60) as tab:
        while time.monotonic() < end:
            crowd.empty.append(timed(partial(tab.get, "/account")))
            time.sleep(0.2)
    over.set()
    for thread in threads:
        thread.join()
    here.send("over")
    crowd.pages = here.recv()
    tabs.join()
    return crowd


def _tabs(pipe: Connection, url: str, cookies: Sequence[dict[str, str]], project: int) -> None:
    """Keep a tab open for everybody, until told that it is over; sends the seconds of all pages."""
    pages: list[float] = []
    over = threading.Event()
    threads = [threading.Thread(target=_follow, args=(url, each, project, pages, over)) for each in cookies]
    for thread in threads:
        thread.start()
    pipe.send("ready")
    pipe.recv()
    over.set()
    for thread in threads:
        thread.join()
    pipe.send(pages)


def _label(person: Browser, number: int, generated: Generated, crowd: Crowd, over: threading.Event) -> None:
    """Label one cell after the other, from the moment all have labelled one: those first labels come at once, as
    nobody's do, and find connections to the database that have done nothing yet."""
    rng = random.Random(number)
    mine = generated.cell_ids[number::PEOPLE].tolist()
    url = f"/projects/{generated.project}/annotations"

    def label() -> float:
        cell = rng.choice(mine)
        body = {"action": str(uuid4()), "items": [{"cell_id": cell, "class": generated.code(cell)}]}
        return timed(partial(person.post, url, json=body))

    label()
    crowd.ready.wait()
    over.wait(rng.random() * SECONDS_PER_LABEL)  # not all at the same moment
    while not over.is_set():
        crowd.labels.append(label())
        over.wait(rng.uniform(0.5, 1.5) * SECONDS_PER_LABEL)


def _follow(url: str, cookies: dict[str, str], project: int, pages: list[float], over: threading.Event) -> None:
    """Fetch the page again whenever there are new scores, as the grid does."""
    news = threading.Event()
    threading.Thread(target=_listen, args=(url, cookies, project, news), daemon=True).start()
    path = f"/projects/{project}/cells?order=uncertain&labelled=no"
    with httpx2.Client(base_url=url, cookies=cookies, timeout=60) as tab:
        while not over.is_set():
            if news.wait(0.1):
                news.clear()
                took = timed(partial(tab.get, path, headers={"HX-Request": "true"}))
                pages.append(took)
                over.wait(max(REST, REST_SHARE * took))


def _listen(url: str, cookies: dict[str, str], project: int, news: threading.Event) -> None:
    with (
        suppress(httpx2.TransportError),
        httpx2.Client(base_url=url, cookies=cookies, timeout=None) as stream,
        stream.stream("GET", f"/projects/{project}/events") as answer,
    ):
        for line in answer.iter_lines():
            if line in ("event: scores", "event: metrics"):
                news.set()


def timed(request: Callable[[], httpx2.Response]) -> float:
    """Return how many seconds a request takes; raises where it is refused."""
    start = time.perf_counter()
    request().raise_for_status()
    return time.perf_counter() - start
