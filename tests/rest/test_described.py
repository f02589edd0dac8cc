"""The interface does what its description says: requests made up from it, good and bad, over every operation."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from app.main import app
from tests import factories
from tests.everything import make_everything

EXAMPLES = 6  # of each operation; each is sent to made-up addresses and to those of things that exist
STEPS = 12  # of each walk
KEPT_PROMISES = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
CHECKS = [*KEPT_PROMISES, checks.negative_data_rejection]


SCHEMA = schemathesis.openapi.from_dict(app.openapi())
SCHEMA.app = app
SCHEMA.config.checks.negative_data_rejection.expected_statuses = [
    *SCHEMA.config.checks.negative_data_rejection.expected_statuses,
    "412",  # tus: another version is refused before all else
]
OPERATIONS = {each.ok().label: each.ok() for each in SCHEMA.get_all_operations()}
SEARCH = settings(
    max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), stateful_step_count=STEPS,
)  # fmt: skip


@schemathesis.serializer("application/offset+octet-stream")
def piece(_context: object, value: object) -> dict[str, bytes]:
    return {"data": repr(value).encode()}


@pytest.fixture
def headers(installation: object, short_streams: None) -> dict[str, str]:
    return {"Authorization": f"Bearer {factories.make_token(factories.make_user('manager'))}"}


@pytest.mark.parametrize("label", OPERATIONS)
def test_answers_are_those_described(label: str, headers: dict[str, str]) -> None:
    ids = make_everything().ids
    good, bad = (OPERATIONS[label].as_strategy(generation_mode=mode) for mode in GenerationMode)

    @SEARCH
    @given(case=good | bad)
    def search(case: schemathesis.Case) -> None:
        case.call_and_validate(headers=headers, checks=CHECKS)
        if case.path_parameters:
            # What was wrong about it may have been its address alone.
            case.path_parameters = {name: ids[name] for name in case.path_parameters}
            case.call_and_validate(headers=headers, checks=KEPT_PROMISES)

    search()


def test_what_one_answer_names_the_next_finds(headers: dict[str, str]) -> None:
    """Walks from operation to operation along ids and addresses in the answers."""
    machine = SCHEMA.as_state_machine()

    class Walk(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, _case: schemathesis.Case) -> dict[str, object]:
            return {"headers": headers}

        def validate_response(self, response: object, case: schemathesis.Case, **_more: object) -> None:
            case.validate_response(response, checks=CHECKS, headers=headers)

    Walk.run(settings=SEARCH)
