"""What keeps the library small, quick to import and readable."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import steprouter

SOURCE = Path(steprouter.__file__).parent
MODULES = sorted(SOURCE.rglob("*.py"))
FUNCTION_LINES = 60
MODULE_LINES = 400
"""Lines of code, without blanks, docstrings and comments: where to stop and think, measured on libraries we admire."""

Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef


def test_the_public_names_are_these_and_no_others():
    assert steprouter.__all__ == [
        "Abilities",
        "AllModelsFailed",
        "AnswerBroken",
        "Budget",
        "BudgetExceeded",
        "ConfigError",
        "ContentFilter",
        "Decision",
        "Lessons",
        "Limits",
        "MemoryPolicy",
        "ModelCard",
        "NoAbleModel",
        "Policy",
        "Price",
        "Resumption",
        "Route",
        "Rule",
        "StepKind",
        "StepRouter",
        "StepRouterError",
        "StoreError",
        "Tier",
        "Trace",
    ]


def test_the_public_names_are_sorted_and_few():
    """24: what a user writes to set a router up, and what it gives back; less common errors stay in `errors`."""
    assert steprouter.__all__ == sorted(set(steprouter.__all__))
    assert len(steprouter.__all__) <= 24


@pytest.mark.parametrize("name", steprouter.__all__)
def test_each_public_name_can_be_imported_and_is_listed(name):
    assert getattr(steprouter, name).__name__ == name
    assert name in dir(steprouter)


def test_an_unknown_name_is_an_attribute_error_as_of_any_module():
    with pytest.raises(AttributeError, match="module 'steprouter' has no attribute 'Router'"):
        _ = steprouter.Router


def imported_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after a statement."""
    script = f"import sys, json; {statement}; print(json.dumps(sorted({{m.split('.')[0] for m in sys.modules}})))"
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return set(json.loads(told.stdout))


CLIENTS = {"redis", "redisvl", "openai", "anthropic", "langchain", "langchain_openai", "langchain_anthropic"}


def test_importing_the_package_imports_nothing_heavy():
    heavy = CLIENTS | {"httpx", "langchain_core", "langgraph", "numpy", "pydantic", "jsonschema", "yaml", "typer"}
    assert imported_by("import steprouter") & heavy == set()


def test_importing_the_router_imports_no_client_library():
    """LangSmith, which langchain-core brings, imports httpx by itself."""
    assert imported_by("from steprouter import StepRouter") & CLIENTS == set()


@cache
def parsed(path: Path) -> tuple[ast.Module, tuple[str, ...]]:
    text = path.read_text(encoding="utf-8")
    return ast.parse(text), tuple(text.splitlines())


def public(node: ast.AST, prefix: str) -> Iterator[tuple[str, Documented]]:
    """Public classes, functions and methods below a module or class, with their dotted names."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Documented) and not child.name.startswith("_"):
            yield f"{prefix}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public(child, f"{prefix}.{child.name}")


def named(path: Path) -> str:
    return ".".join(["steprouter", *path.relative_to(SOURCE).with_suffix("").parts])


def test_every_public_module_class_and_function_says_what_it_is():
    silent = [named(path) for path in MODULES if not ast.get_docstring(parsed(path)[0])]
    for path in MODULES:
        found = public(parsed(path)[0], named(path))
        silent += [name for name, node in found if not ast.get_docstring(node)]
    assert silent == []


def code_lines(path: Path, node: ast.Module | Function) -> int:
    """Lines of a module or function that are neither blank nor docstring nor comment."""
    lines = parsed(path)[1]
    first, last = (1, len(lines)) if isinstance(node, ast.Module) else (node.lineno, node.end_lineno or 0)
    said = {
        number
        for child in ast.walk(node)
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant) and isinstance(child.value.value, str)
        for number in range(child.lineno, (child.end_lineno or 0) + 1)
    }
    told = (lines[number - 1].strip() for number in range(first, last + 1) if number not in said)
    return sum(bool(line) and not line.startswith("#") for line in told)


def test_no_function_is_so_long_that_nobody_reads_it():
    long = {
        f"{named(path)}.{node.name}": length
        for path in MODULES
        for node in ast.walk(parsed(path)[0])
        if isinstance(node, Function) and (length := code_lines(path, node)) > FUNCTION_LINES
    }
    assert long == {}


def test_no_module_is_so_long_that_it_does_two_things():
    lengths = {named(path): code_lines(path, parsed(path)[0]) for path in MODULES}
    assert {name: length for name, length in lengths.items() if length > MODULE_LINES} == {}
