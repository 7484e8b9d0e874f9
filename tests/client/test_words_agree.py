"""The SDK's closed lists are the platform's: codes, statuses, what helps; and importing it stays cheap."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

import omnilab.client
from omnilab.client import codes, errors
from omnilab.client.answers import HOPELESS
from omnilab.client.errors import Trouble
from omnilab.codes import CODES
from omnilab.web.problems import API_STATUS, OAUTH_STATUS

SOURCES = sorted(Path(inspect.getfile(omnilab.client)).parent.rglob("*.py"))


def test_codes_of_the_api_are_the_platforms() -> None:
    ours = {name: (code.status, code.new_token_helps, code.retry) for name, code in codes.API_CODES.items()}
    theirs = {name: (status, CODES[name].new_token_helps, CODES[name].retry) for name, status in API_STATUS.items()}
    assert ours == theirs


def test_codes_of_the_token_service_are_the_platforms() -> None:
    assert {name: status for name, (status, _) in OAUTH_STATUS.items()} == codes.TOKEN_CODES


def test_hopeless_codes_are_those_no_new_token_helps_with() -> None:
    assert not [code for code in HOPELESS if codes.API_CODES[code].new_token_helps]
    assert {codes.API_CODES[code].status for code in HOPELESS} == {401}


@pytest.mark.parametrize("code", sorted(codes.API_CODES))
def test_each_code_of_the_api_raises_its_class(code: str) -> None:
    known = codes.API_CODES[code]
    error = codes.error_of_call(Trouble(code=code, detail="words", status=known.status, request_id="req-1"))
    assert type(error) is known.error
    assert (error.code, error.status, error.request_id) == (code, known.status, "req-1")


@pytest.mark.parametrize("code", sorted(codes.TOKEN_CODES))
def test_each_code_of_the_token_service_raises_its_class(code: str) -> None:
    status = codes.TOKEN_CODES[code]
    expected = {429: errors.RateLimitedError, 503: errors.UnavailableError}.get(status, errors.TokenRefusedError)
    assert type(codes.error_of_token(Trouble(code=code, detail="words", status=status))) is expected


def test_every_error_is_drawn_in_the_tree_and_exported() -> None:
    made = {name for name, kind in vars(errors).items() if inspect.isclass(kind) and issubclass(kind, Exception)}
    drawn = set(re.findall(r"\w+Error\b", errors.__doc__ or ""))
    assert made == drawn
    assert made <= set(omnilab.client.__all__)


def test_all_that_is_public_is_there() -> None:
    assert [name for name in omnilab.client.__all__ if not hasattr(omnilab.client, name)] == []
    with pytest.raises(AttributeError):
        _ = omnilab.client.nothing


def test_examples_in_docstrings_run() -> None:
    names = [module.name for module in pkgutil.walk_packages(omnilab.client.__path__, "omnilab.client.")]
    attempted = 0
    for name in ["omnilab.client", *names]:
        flags = doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL
        result = doctest.testmod(importlib.import_module(name), optionflags=flags)
        assert result.failed == 0, name
        attempted += result.attempted
    assert attempted >= 20


def _loaded_by(statement: str) -> set[str]:
    words = [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"]
    return set(subprocess.run(words, capture_output=True, text=True, check=True).stdout.split())


@pytest.mark.parametrize(
    "statement", ["import omnilab.client", "from omnilab.client import OmniLab, AsyncOmniLab, Booking, OmniLabError"]
)
def test_importing_it_loads_nothing_heavy_and_nothing_of_ours(statement: str) -> None:
    loaded = _loaded_by(statement) - _loaded_by("pass")  # an interpreter under coverage has loaded some by itself
    heavy = {"httpx", "httpcore", "asyncio", "ssl", "cryptography", "email", "urllib.request", "rich"}
    heavy |= {"logging", "concurrent.futures", "dataclasses"}  # a third of the rest
    assert heavy & loaded == set()
    ours = {name for name in loaded if name.startswith("omnilab.") and not name.startswith("omnilab.client")}
    assert ours == set()


def test_the_wall_clock_is_read_nowhere() -> None:
    wall = re.compile(r"time\.time\(|datetime\.now|utcnow|\.today\(\)|localtime|gmtime")
    assert [path.name for path in SOURCES if wall.search(path.read_text())] == []


def test_only_httpx_msgspec_and_the_library_are_imported() -> None:
    allowed = sys.stdlib_module_names | {"httpx", "msgspec", "omnilab"}
    imported = {
        (path.name, name)
        for path in SOURCES
        for name in re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE)
    }
    assert {each for each in imported if each[1] not in allowed} == {("token_file.py", "cryptography")}
