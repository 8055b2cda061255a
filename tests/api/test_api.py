"""The admin address by its own description: every operation of /openapi.json, with requests made at random by its schemas."""
import sys
from pathlib import Path

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness.processes import Server, copal_binary, free_port  # noqa: E402

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
    unsupported_method,
]


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """A demo: its admin address, and where visitors come."""
    port, admin = free_port(), free_port()
    command = [copal_binary(), "demo", "--listen", f"127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    with Server("copal demo", command, port, tmp_path_factory.mktemp("api") / "output.log"):
        yield f"http://127.0.0.1:{admin}", f"http://127.0.0.1:{port}"


@pytest.fixture(scope="session")
def admin(servers):
    return servers[0]


@pytest.fixture
def stored(servers):
    """Two pages in the store."""
    for page in ["/", "/static/style.css"]:
        assert requests.get(servers[1] + page, timeout=20).status_code == 200


DESCRIPTION = Path(__file__).resolve().parent.parent.parent / "docs" / "openapi.json"
# What breaks the description is refused; what is too large besides, as that.
REFUSED = {"checks": {"negative_data_rejection": {"expected-statuses": [400, 404, 405, 413, 415]}}}
CONFIG = schemathesis.Config.from_dict(REFUSED)
OPERATIONS = [result.ok() for result in schemathesis.openapi.from_path(DESCRIPTION, config=CONFIG).get_all_operations()]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.label)
def test_answers_are_as_described(admin, operation):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.POSITIVE))
    def right(case):
        case.call_and_validate(base_url=admin, checks=CHECKS)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=GenerationMode.NEGATIVE))
    def wrong(case):
        case.call_and_validate(base_url=admin, checks=CHECKS)

    right()
    if operation.method == "post":
        wrong()


def test_the_description_is_the_one_in_the_sources(admin):
    assert requests.get(f"{admin}/openapi.json", timeout=20).text == DESCRIPTION.read_text()


@pytest.mark.parametrize(
    ("what", "named"),
    [
        ({"urls": ["http://127.0.0.1/"], "any_host": True}, 1),
        ({"glob": "/*.css"}, 1),
        ({"match": {"headers": {"content-type": "css"}}}, 1),
        ({"all": True}, 2),
    ],
)
@pytest.mark.usefixtures("stored")
def test_what_is_counted_is_what_is_stored(admin, what, named):
    done = requests.post(f"{admin}/purge", json={**what, "dry_run": True}, timeout=20).json()
    assert done["matching"] >= named and done["dry_run"] and not done["errors"], done
