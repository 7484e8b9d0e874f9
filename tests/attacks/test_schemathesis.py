"""Everything the OpenAPI document allows, and much that it forbids, sent to a running server by Schemathesis.

Source: OWASP API Security Top 10 (2023), API8 and API9: what is documented and what is answered must not drift apart.
No 5xx, only documented statuses, headers, media types and bodies; what is valid by the document is taken, what is not
is refused; no call is answered without its token; and stateful: bookings that were made are listed and cancelled.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import Served

EXAMPLES = "30"
SEED = "20261127"  # the same cases each time: what fails can be played again
CREDENTIALS = "^(token|revoke|introspect)$"
# What only the state decides may be refused: rights, a key that was used before. JSON Schema cannot say that a slot
# ends after it starts; and a NUL in a parameter that OAuth ignores is refused with the body.
SETTINGS = """
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "401", "403", "404", "409", "422", "429"]

[[operations]]
include-operation-id-regex = "^(createContactBooking|token|revoke|introspect)$"
checks.positive_data_acceptance.expected-statuses = ["2xx", "400", "401", "403", "404", "409", "422", "429"]
"""


def run(served: Served, folder: Path, *arguments: str) -> str:
    (folder / "schemathesis.toml").write_text(SETTINGS)
    command = [
        Path(sys.executable).with_name("st"), "run", f"{served.omnilab.url}/openapi.json", "--url", served.omnilab.url,
        "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--request-timeout", "30", *arguments,
    ]  # fmt: skip
    environ = os.environ | {"NO_PROXY": "*", "NO_COLOR": "1", "COLUMNS": "200"}
    done = subprocess.run(command, cwd=folder, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_calls_that_take_a_token(served: Served, tmp_path: Path) -> None:
    token = served.server.token(served.client)
    header = f"Authorization: Bearer {token}"
    said = run(served, tmp_path, "-H", header, "--exclude-operation-id-regex", CREDENTIALS)
    found = re.search(r"(\d+) generated, (\d+) passed", said)
    assert found is not None, said
    assert found[1] == found[2]
    assert int(found[1]) > 300
    assert re.search(r"API Links:\s+[123] covered", said), said
    assert token not in said


def test_calls_that_take_a_secret(served: Served, tmp_path: Path) -> None:
    phases = "examples,coverage,fuzzing"
    said = run(served, tmp_path, "--include-operation-id-regex", CREDENTIALS, "--phases", phases)
    found = re.search(r"(\d+) generated, (\d+) passed", said)
    assert found is not None, said
    assert found[1] == found[2]
    assert int(found[1]) > 100


@pytest.mark.parametrize("page_number", [2**53, 10**18 - 1])
def test_a_page_beyond_all_numbers_is_empty(served: Served, page_number: int) -> None:
    """What the first run found: an offset of more than 63 bits was a 503."""
    query = {"external_id": "contact-1", "page_number": str(page_number), "page_size": "200"}
    headers = {"Authorization": f"Bearer {served.server.token(served.client)}"}
    answer = served.server.http.get("/v1/interactions:fetchContactBookings", params=query, headers=headers)
    assert (answer.status_code, answer.json()["bookings"]) == (200, [])
