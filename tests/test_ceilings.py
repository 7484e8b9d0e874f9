"""The ceilings of the style: no file over 400 lines, no function over 40, no call of more than six parameters."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# A migration is a frozen list of tables, read once and never changed.
SOURCES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.parent.name != "versions")
FILE_LINES = 400
FUNCTION_LINES = 40
PARAMETERS = 6
VAGUE_NAMES = {"utils", "helpers", "common", "base", "manager", "core"}


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    nodes = ast.walk(ast.parse(path.read_text()))
    return [node for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def length_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def parameters_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(argument.arg not in {"self", "cls"} for argument in named)


def is_command(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Typer reads a command's options from its parameters: there their number is the command line's."""
    return any("command(" in ast.unparse(mark) or "callback(" in ast.unparse(mark) for mark in function.decorator_list)


def test_files_stay_under_the_ceiling() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in SOURCES}
    assert {path: length for path, length in lengths.items() if length > FILE_LINES} == {}


def test_functions_stay_under_the_ceiling() -> None:
    too_long = {
        f"{path.relative_to(ROOT)}:{function.name}": length_of(function)
        for path in SOURCES
        for function in functions_of(path)
        if length_of(function) > FUNCTION_LINES
    }
    assert too_long == {}


def test_calls_stay_readable() -> None:
    too_many = {
        f"{path.relative_to(ROOT)}:{function.name}": parameters_of(function)
        for path in SOURCES
        for function in functions_of(path)
        if parameters_of(function) > PARAMETERS and not is_command(function) and function.name != "__init__"
    }
    assert too_many == {}


@pytest.mark.parametrize("name", sorted(VAGUE_NAMES))
def test_files_are_nouns(name: str) -> None:
    assert [path for path in SOURCES if name in {path.stem, path.parent.name}] == []
