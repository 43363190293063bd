"""Digests of Python code by what it does: comments, docstrings, layout and unrelated code of a file do not count."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

_STUDY = "Study"


def function_digest(path: Path, function: str) -> str:
    """Return the digest of a function and of everything in its file that it uses, read again if the file was modified.

    What a file does when it is imported counts too, apart from what concerns a study of the function: statements that
    use a ``Study``, and those below ``if __name__ == "__main__"``.
    """
    about = path.stat()
    return _function_digest(path, function, about.st_mtime_ns, about.st_size)


@functools.lru_cache(maxsize=100_000)
def _function_digest(path: Path, function: str, _mtime_ns: int, _size: int) -> str:
    tree = _without_docstrings(ast.parse(path.read_bytes()))
    return _sha256(ast.dump(one) for one in _used(tree.body, function))


def code_digest(source: bytes) -> str | None:
    """Return the digest of a file's code; None if it is no Python that can be parsed.

    >>> code_digest(b"x = 1  # one") == code_digest(b"x=1") != code_digest(b"x = 2")
    True
    """
    try:
        return _sha256([ast.dump(_without_docstrings(ast.parse(source)))])
    except (SyntaxError, ValueError):
        return None


def _used(body: list[ast.stmt], function: str) -> Iterator[ast.stmt]:
    """Yield the statements that a function depends on, in the order of the file."""
    bound = [_bound(one) for one in body]
    names = [{part.id for part in ast.walk(one) if isinstance(part, ast.Name)} for one in body]
    imported = {name for k, one in enumerate(body) if isinstance(one, ast.Import | ast.ImportFrom) for name in bound[k]}
    of_study = _reached({_STUDY}, bound, names, backwards=True)
    always = {
        k
        for k, one in enumerate(body)
        if isinstance(one, ast.ClassDef)  # values of factors may be instances of it
        or "*" in bound[k]
        or _changes_import(one, bound[k] & imported)
        or not (bound[k] or _is_main_guard(one) or names[k] & of_study)
    }
    given = _reached(_given_to_studies(body), bound, names, backwards=False)  # functions may be values of factors
    functions = {one.name for one in body if isinstance(one, ast.FunctionDef)} & given - of_study
    wanted = _reached({function, *functions}.union(*(names[k] for k in always)), bound, names, backwards=False)
    for k, one in enumerate(body):
        if k in always or bound[k] & wanted:
            yield one


def _reached(start: set[str], bound: list[set[str]], names: list[set[str]], *, backwards: bool) -> set[str]:
    """Return the names that some names use, directly or not; backwards, those that use them."""
    found, before = set(start), set[str]()
    while found != before:
        before = set(found)
        for targets, used in zip(bound, names):
            if not targets:
                continue
            if backwards and used & found:
                found |= targets
            elif not backwards and targets & found:
                found |= used
    return found


def _bound(statement: ast.stmt) -> set[str]:
    """Return the names that a statement of a module defines or changes; none if it is executed for its effect."""
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign):
        targets = [statement.target]
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def _changes_import(statement: ast.stmt, imported: set[str]) -> bool:
    """Return whether a statement changes something imported, such as ``os.environ``, for everybody."""
    return bool(imported) and isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign)


def _given_to_studies(body: list[ast.stmt]) -> set[str]:
    """Return the names in the arguments of every ``Study(…)``."""
    return {
        part.id
        for one in body
        for call in ast.walk(one)
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == _STUDY
        for argument in [*call.args, *(keyword.value for keyword in call.keywords)]
        for part in ast.walk(argument)
        if isinstance(part, ast.Name)
    }


def _is_main_guard(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.If) and any(
        isinstance(part, ast.Name) and part.id == "__name__" for part in ast.walk(statement.test)
    )


def _without_docstrings(tree: ast.Module) -> ast.Module:
    for one in ast.walk(tree):
        if isinstance(one, ast.Module | ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            one.body
            and isinstance(one.body[0], ast.Expr)
            and isinstance(one.body[0].value, ast.Constant)
            and isinstance(one.body[0].value.value, str)
        ):
            one.body = one.body[1:] or [ast.Pass()]
    return tree


def _sha256(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
