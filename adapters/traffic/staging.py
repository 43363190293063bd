"""Staging of a SUMO scenario in the run's folder.

SUMO accepts any file name: a configuration, an additional file or a parameter of a vehicle type may name an output
anywhere on the disk, or ``host:port``. `stage` writes a separate configuration in which every input is an absolute
path and every output is a plain name inside the run's folder.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

from cosim.adapters.traffic.files import (
    DROPPED_OPTIONS,
    ENDINGS,
    FORMATS,
    INPUT_FILE_TAGS,
    INPUT_OPTIONS,
    NAMES_A_FILE,
    OUTPUT_OPTIONS,
    WORDS_OF_FILES,
    SumoConfiguration,
    absolute,
    check_trusted,
    mentions,
    refuse_circle,
    root_of,
    split_names,
)
from cosim.core.errors import InputFileError

_INPUT_ATTRIBUTES = ("imgFile", "href")


class _Names:
    """Names of outputs inside one folder: flat, each with a single origin."""

    def __init__(self, folder: Path, prefix: str = "", suffix: str = "", ending: str = "") -> None:
        self._folder, self._ending = folder, ending
        self._prefix, self._suffix = (re.sub(r"[^\w+#-]", "_", part) for part in (prefix, suffix))
        self._prefix = self._prefix.lstrip("_")
        self._origins: dict[str, object] = {}

    def __call__(self, name: str, base: Path) -> str:
        """Return the path of the output that a file in ``base`` names ``name``."""
        if name.lower() in ("", "nul", "null", "/dev/null"):
            return name and "/dev/null"
        last = name.replace("\\", "/").rpartition("/")[2]
        stem, dot, extension = last.partition(".")
        flat = re.sub(r"[^\w.+#-]", "_", self._prefix + stem + self._suffix + dot + extension).strip(".")
        return self.unique(self._ended(flat or "output"), absolute(name, base))

    def _ended(self, flat: str) -> str:
        """Return a name that ends by its format: SUMO knows no other way to give outputs different ones."""
        if not self._ending or flat.endswith(ENDINGS):
            return flat
        return flat.removesuffix(".gz").removesuffix(".xml") + self._ending

    def unique(self, flat: str, origin: object) -> str:
        candidate, number = flat, 1
        while self._origins.setdefault(candidate, origin) != origin:
            number += 1
            stem, dot, extension = flat.partition(".")
            candidate = f"{stem}_{number}{dot}{extension}"
        return str(self._folder / candidate)


def _staged(path: Path, names: _Names, seen: frozenset[Path] = frozenset()) -> Path:
    """Return the file itself, or a rewritten copy in the run's folder if it names files."""
    refuse_circle(path, seen)
    check_trusted(path)
    if not mentions(path, NAMES_A_FILE, WORDS_OF_FILES):
        return path
    root, base = root_of(path), path.parent
    for element in root.iter():
        for key in ("file", "output", "dest"):
            value = element.get(key)
            if value is None or (key == "dest" and element.tag != "timedEvent"):
                continue
            is_input = key == "file" and element.tag in INPUT_FILE_TAGS
            element.set(key, str(absolute(value, base)) if is_input else names(value, base))
        for key in _INPUT_ATTRIBUTES:
            if value := element.get(key):
                target = absolute(value, base)
                element.set(key, str(_staged(target, names, seen | {path}) if key == "href" else target))
        if element.tag == "param" and element.get("key", "").endswith(("file", "output")):
            element.set("value", names(element.get("value", ""), base))
    copy = Path(names.unique("input-" + re.sub(r"\.gz$", "", path.name), ("input", path)))
    ElementTree(root).write(copy, encoding="utf-8", xml_declaration=True)
    return copy


def stage(
    configuration: SumoConfiguration,
    folder: Path,
    *,
    options: Mapping[str, str] | None = None,
    additionals: Iterable[Path] = (),
) -> Path:
    """Write a configuration into a folder, such that a run writes no file elsewhere.

    Parameters
    ----------
    configuration
        Result of `read_configuration`.
    folder
        Folder of the configuration and every output.
    options
        Options that override the configuration's; outputs among them must lie in ``folder``.
    additionals
        Further additional files, used unchanged.

    Returns
    -------
    Path
        The staged configuration.

    Raises
    ------
    InputFileError
        If an input is not trusted, or the folder's name has a character with a meaning to SUMO.
    """
    folder = folder.resolve()
    if bad := re.search("[:,;$%]", str(folder)):
        raise InputFileError(f"folder {folder} has {bad[0]!r} in its path, which is special to SUMO: choose another")
    base, given = configuration.path.parent, dict(configuration.options)
    ending = FORMATS[given.get("output.format", "")]
    names = _Names(folder, given.get("output-prefix", ""), given.get("output-suffix", ""), ending)
    own = dict(options or {})
    for name in ("run.sumocfg", *(Path(value).name for value in own.values()), *(p.name for p in additionals)):
        names.unique(name, ("own", name))
    if any(name.startswith("save-state.") for name in given):
        given.setdefault("save-state.prefix", "state")
    given.setdefault("device.ssm.file", "ssm.xml")
    for name, value in given.items():
        if name in OUTPUT_OPTIONS or name.endswith("-output"):
            # The times are a list, and so are the state files.
            parts = split_names(value) if name == "save-state.files" else [value]
            given[name] = ",".join(names(part, base) for part in parts)
    given["net-file"] = str(_staged(configuration.net, names))
    for name, files in (("route-files", configuration.routes), ("additional-files", configuration.additionals)):
        staged = [str(_staged(path, names)) for path in files]
        staged += [str(path) for path in additionals] if name == "additional-files" else []
        given[name] = ",".join(staged)
    root = Element("sumoConfiguration")
    for name, value in (given | own).items():
        if name not in DROPPED_OPTIONS and value:
            SubElement(root, name, value=value)
    target = folder / "run.sumocfg"
    ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)
    return target


def input_files(configuration: SumoConfiguration) -> tuple[Path, ...]:
    """Return every file that affects a run, including those that others include or name.

    Raises
    ------
    InputFileError
        If a file that names others is malformed, or includes itself.
    """
    named = (
        part
        for name in sorted(INPUT_OPTIONS & configuration.options.keys())
        for part in split_names(configuration.options[name])
    )
    found = dict.fromkeys([configuration.path, configuration.net, *configuration.routes, *configuration.additionals])
    for path in (*found, *map(Path, named)):
        found |= dict.fromkeys(_with_included(path))
    return tuple(path for path in found if path.is_file())


def _with_included(path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    refuse_circle(path, seen)
    yield path
    if path.is_file() and mentions(path, NAMES_A_FILE, WORDS_OF_FILES):
        for element in root_of(path).iter():
            if element.tag in INPUT_FILE_TAGS and (name := element.get("file")):
                yield absolute(name, path.parent)
            if name := element.get("href"):
                yield from _with_included(absolute(name, path.parent), seen | {path})
