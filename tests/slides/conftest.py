"""A technician with a slide of a project."""

from collections.abc import Callable

import pytest
from fastapi.testclient import TestClient

from app.models import Project, Slide, User
from tests.factories import make_project, make_slide, make_user


@pytest.fixture
def project(installation: object) -> Project:
    return make_project()


@pytest.fixture
def slide(project: Project) -> Slide:
    return make_slide(project)


@pytest.fixture
def browser(client: TestClient, sign_in: Callable[[User], TestClient], project: Project) -> TestClient:
    """The browser of a member of the project."""
    return sign_in(make_user(member_of=project))
