"""MkDocs hooks: pages of the API reference, the list of decisions, and links that leave ``docs/``.

What is documented is read from the sources: the public names of ``cosim``, the contract, the
installed entry points, and what the code on the other pages imports. A new adapter, twin or policy needs no line here.
"""

from __future__ import annotations

import ast
import logging
import posixpath
import re
from collections.abc import Iterable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]

FROM_ROOT = {"CONTRIBUTING.md": "contributing.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
"""Pages kept at the root, where code hosts look for them, and their names on the site."""

_LINK = re.compile(r"(?<!!)\[(?P<text>[^\[\]]+)\]\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"^(?P<fence>```\w+) (?:file|add)=(?P<file>\S+)$", re.M)
_IMPORT = re.compile(r"^\s*from (?P<module>cosim[\w.]*) import (?P<names>\w+(?:, \w+)*)", re.M)

log = logging.getLogger("mkdocs.hooks.api_pages")
_pages: dict[str, str] = {}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Complete the navigation: folders named in it stand for the pages they hold."""
    _pages.clear()
    _pages.update(_reference())
    records = sorted(path.name for path in (ROOT / "docs/decisions").glob("[0-9]*.md"))
    folders = {"api/": list(_pages), "decisions/": ["decisions/README.md", *(f"decisions/{name}" for name in records)]}

    def complete(entry: Any) -> Any:
        if isinstance(entry, list):
            return [complete(item) for item in entry]
        if isinstance(entry, dict):
            return {title: complete(item) for title, item in entry.items()}
        return folders.get(entry, entry)

    config.nav = complete(config.nav)
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages and those kept at the root."""
    at_root = {page: (ROOT / source).read_text(encoding="utf-8") for source, page in FROM_ROOT.items()}
    for page, content in (at_root | _pages).items():
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links out of ``docs/`` into links of the site, and file names of code blocks into titles."""
    parts = re.split(r"(^```.*?^```$)", markdown, flags=re.M | re.S)
    parts[::2] = [_LINK.sub(lambda match: _link(match, page.file.src_uri, config, files), part) for part in parts[::2]]
    return _FENCE.sub(r'\g<fence> title="\g<file>"', "".join(parts))


def _link(match: re.Match[str], page: str, config: MkDocsConfig, files: Files) -> str:
    """Return a link as it must read on the site; MkDocs itself checks those that stay in ``docs/``."""
    text, (target, hash_, part) = match["text"], match["target"].partition("#")
    at_root = page in FROM_ROOT.values()
    folder = "" if at_root else posixpath.dirname(f"docs/{page}")
    path = posixpath.normpath(posixpath.join(folder, target))
    inside = path.startswith("docs/")
    if not target or ":" in target or (inside and not at_root and not (ROOT / path).is_dir()):
        return match[0]
    if path.startswith("..") or not (ROOT / path).exists():
        log.warning("%s links to %s: no such file in the repository", page, match["target"])
        return text
    uri = FROM_ROOT.get(path, "index.md" if path == "README.md" else path.removeprefix("docs/"))
    for candidate in (uri, f"{uri}/README.md"):
        if (inside or candidate != path) and files.get_file_from_path(candidate) is not None:
            return f"[{text}]({posixpath.relpath(candidate, posixpath.dirname(page) or '.')}{hash_}{part})"
    if config.repo_url:
        return f"[{text}]({config.repo_url.rstrip('/')}/blob/HEAD/{path}{hash_}{part})"
    return text  # the site does not hold the sources


def _reference() -> dict[str, str]:
    """Return the pages of the API reference, Markdown by place; every name stands on one of them."""
    package = griffe.load("cosim", search_paths=[ROOT], allow_inspection=False)
    assert isinstance(package, griffe.Module)
    documented: set[str] = set()

    def page(title: str, modules: dict[str, Iterable[str]]) -> None:
        lines = [f"# {title}"]
        for module, names in modules.items():
            homes = {name: package[f"{module}.{name}".removeprefix("cosim.")].canonical_path for name in names}
            new = [name for name, home in homes.items() if home not in documented]
            documented.update(homes.values())
            if new:
                lines += ["", *_directive(module, new, heading=module != title)]
        pages[f"api/{title.lower().replace(' ', '-')}.md"] = "\n".join(lines) + "\n"

    pages: dict[str, str] = {}
    public = sorted(ast.literal_eval(str(package["_HOME"].value)))
    page("cosim", {"cosim": public})
    contract = ["cosim.core", *(f"cosim.core.{path.stem}" for path in sorted((ROOT / "core").glob("[a-z]*.py")))]
    page("cosim.core", {module: _public(package, module) for module in contract})
    plugged = sorted(
        point.module
        for kind in ("adapters", "scenarios")
        for point in entry_points(group=f"cosim.{kind}")
        if point.module.startswith("cosim.")
    )
    for module in [*dict.fromkeys(plugged), "cosim.testing"]:
        page(module, {module: _public(package, module)})
    folder = "cosim.scenarios.policies"  # its names are those of its modules
    modules = [f"{folder}.{path.stem}" for path in sorted((ROOT / "scenarios" / "policies").glob("[a-z]*.py"))]
    offered = {module: _public(package, module) for module in modules if package[module.removeprefix("cosim.")].exports}
    page(folder, {f"{folder}.policy": ["Policy"], **offered})
    imported: dict[str, list[str]] = {}
    for path in sorted((ROOT / "docs").glob("*.md")):
        for match in _IMPORT.finditer(path.read_text(encoding="utf-8")):
            imported.setdefault(match["module"], []).extend(match["names"].split(", "))
    further = sorted(imported.keys() - {"cosim", "cosim.scenarios"})
    page("Further names", {module: dict.fromkeys(imported[module]) for module in further})
    return pages


def _public(package: griffe.Module, module: str) -> list[str]:
    """Return what a module offers: its ``__all__``, else its own classes, functions and documented values."""
    found = package[module.removeprefix("cosim.")]
    if found.exports is not None:
        return [str(name) for name in found.exports]
    return [
        name
        for name, member in found.members.items()
        if not (name.startswith("_") or member.is_alias or member.is_module) and member.has_docstring
    ]


def _directive(module: str, names: list[str], *, heading: bool) -> list[str]:
    """Return the lines that make mkdocstrings render some names of a module."""
    options = {
        "members": names,
        "heading_level": 2,
        "show_root_heading": heading,
        "show_root_toc_entry": heading,
        "show_root_full_path": True,
    }
    return [f"::: {module}", "    options:", *(f"      {key}: {value}" for key, value in options.items())]
