"""What does a SUMO scenario consist of, may it be trusted, and how does a run of it stay in its own folder?

SUMO follows file names wherever they lead: a configuration, an additional file, a parameter of a vehicle type may
each name an output anywhere on the disk, or ``host:port``. `stage` writes a configuration of its own, in which every
input is an absolute path and every output is a plain name inside the run's folder.
"""

from __future__ import annotations

import gzip
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ElementTree, ParseError, SubElement

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse as _iterparse

from cosim.core.errors import InputFileError

# From `sumo --save-template`: every option of type FILE is one of these, or an output.
INPUT_OPTIONS = frozenset({
    "net-file", "route-files", "additional-files", "weight-files", "load-state", "fcd-output.filter-edges.input-file",
    "device.ssm.filter-edges.input-file", "astar.all-distances", "astar.landmark-distances", "phemlight-path",
    "device.fcd-replay.files",
})  # fmt: skip
OUTPUT_OPTIONS = frozenset({
    "netstate-dump", "save-state.prefix", "save-state.files", "pedestrian.jupedsim.wkt", "pedestrian.jupedsim.py",
    "log", "message-log", "error-log", "device.ssm.file", "device.toc.file", "device.rerouting.output",
    "device.taxi.dispatch-algorithm.output", "device.taxi.idle-algorithm.output",
})  # fmt: skip
"""Outputs that are not recognised by ``-output`` at the end of their names."""

# Of no use to a run without a window, or they make SUMO write its options and stop.
DROPPED_OPTIONS = frozenset({
    "configuration-file", "save-configuration", "save-template", "save-schema", "save-commented", "num-clients",
    "gui-settings-file", "edgedata-files", "alternative-net-file", "selection-file", "gui-testing.setting-output",
    "output-prefix", "output-suffix",
})  # fmt: skip
REFUSED_OPTIONS = {
    "remote-port": "it lets anyone on the network control the simulation",
    "python-script": "it runs code",
}

_SYNONYMS = {
    "c": "configuration-file", "configuration": "configuration-file", "C": "save-configuration",
    "save-config": "save-configuration", "n": "net-file", "net": "net-file", "r": "route-files",
    "routes": "route-files", "a": "additional-files", "additional": "additional-files", "w": "weight-files",
    "weights": "weight-files", "ndump": "netstate-dump", "netstate": "netstate-dump",
    "netstate-output": "netstate-dump", "person-fcd": "person-fcd-output", "summary": "summary-output",
    "tripinfo": "tripinfo-output", "personinfo": "personinfo-output", "vehroutes": "vehroute-output",
    "personroutes": "personroute-output", "statistics-output": "statistic-output", "l": "log", "log-file": "log",
    "device.fcd-replay.file": "device.fcd-replay.files", "g": "gui-settings-file", "data-files": "edgedata-files",
    "m": "edgedata-files", "N": "alternative-net-file", "b": "begin", "e": "end", "v": "verbose",
    "W": "no-warnings", "X": "xml-validation", "S": "start", "Q": "quit-on-end",
}  # fmt: skip

_SHORTEST_STEP_S = 1e-3  # SUMO's own limit
CONFIGURATION_LIMIT_BYTES = 1 << 20
INPUT_LIMIT_BYTES = 4 << 30
"""Above these a file is refused: no city's network comes near (Berlin's is 0.4 GB), and a gzip bomb passes them."""

_INPUT_FILE_TAGS = frozenset({"rerouter", "variableSpeedSign"})  # elsewhere the attribute `file` is an output
_INPUT_ATTRIBUTES = ("imgFile", "href")
# What may name a file, in any element; a character reference could hide it.
_NAMES_A_FILE = re.compile(rb"""[\s"'](?:file|output|dest|href)\s*=|(?:file|output)\s*["']|&#""")
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"windows-1252")


@dataclass(frozen=True)
class SumoConfiguration:
    """A SUMO configuration with its options under their full names and its inputs as absolute paths.

    ``begin_s``, ``end_s`` (None: until the last vehicle has arrived) and ``step_length_s`` are in seconds.
    """

    path: Path
    net: Path
    routes: tuple[Path, ...]
    additionals: tuple[Path, ...]
    begin_s: float
    end_s: float | None
    step_length_s: float
    options: Mapping[str, str]


def parse_options(arguments: Sequence[str]) -> dict[str, str]:
    """Return command-line options under their full names.

    Examples
    --------
    >>> parse_options(["--end", "3600", "--ignore-route-errors", "--scale=0.5"])
    {'end': '3600', 'ignore-route-errors': 'true', 'scale': '0.5'}
    """
    options: dict[str, str] = {}
    name = None
    for argument in map(str, arguments):
        flag = re.match(r"--?([A-Za-z][\w.\-]*)(?:=(.*))?$", argument, re.S)
        if flag:
            name = _SYNONYMS.get(flag[1], flag[1])
            options[name] = "true" if flag[2] is None else flag[2]
            name = None if flag[2] is not None else name
        elif name is not None:
            options[name] = argument
            name = None
        else:
            raise InputFileError(f"SUMO option {argument!r} has no name: write '--name', 'value'")
    return options


def seconds(text: str) -> float:
    """Return a SUMO time, in seconds or as ``[days:]hours:minutes:seconds``, in seconds.

    >>> seconds("1:00:00:30"), seconds("25200")
    (86430.0, 25200.0)
    """
    parts = [float(part) for part in text.split(":")]
    if len(parts) not in (1, 3, 4):
        raise ValueError(f"{text!r} is not a time")
    return float(sum(part * size for part, size in zip(reversed(parts), (1, 60, 3600, 86400))))


@contextmanager
def _open(path: Path) -> Iterator[IO[bytes] | gzip.GzipFile]:
    """Open a file that may be compressed, whatever its name; every complaint names the file."""
    if path.exists() and not path.is_file():
        raise InputFileError(f"{path} is no regular file: name a file")
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == b"\x1f\x8b"
            raw.seek(0)
            if packed:
                with gzip.open(raw) as unpacked:
                    yield unpacked
            else:
                yield raw
    except DefusedXmlException as error:
        raise InputFileError(
            f"{path} declares a document type or entities ({type(error).__name__}): SUMO needs neither, remove them"
        ) from error
    except (ParseError, UnicodeError, LookupError) as error:
        raise InputFileError(f"{path} is not well-formed XML: {error}") from error
    except (OSError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _Limited:
    """A reader that refuses to deliver more than a number of bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, path: Path, limit: int) -> None:
        self._stream, self._path, self._limit, self._left = stream, path, limit, limit

    def read(self, size: int = 1 << 16) -> bytes:
        chunk = self._stream.read(size if size >= 0 else self._left + 1)
        self._left -= len(chunk)
        if self._left < 0:
            raise InputFileError(f"{self._path} holds more than {self._limit:,} bytes: refused as not credible")
        return chunk


def elements(path: Path, events: Sequence[str], limit: int = INPUT_LIMIT_BYTES) -> Iterator[tuple[str, Element]]:
    """Stream the elements of a file, refusing entities and absurd sizes."""
    with _open(path) as stream:
        yield from _iterparse(_Limited(stream, path, limit), events=events, forbid_dtd=True)


def root_of(path: Path, limit: int = INPUT_LIMIT_BYTES) -> Element:
    """Return the root of a file, refusing entities and absurd sizes."""
    root = None
    for _, element in elements(path, ("end",), limit):
        root = element
    assert root is not None  # expat refuses a document without an element
    return root


def check_trusted(path: Path) -> None:
    """Check a file that SUMO is to read.

    Raises
    ------
    InputFileError
        If it is missing, not UTF-8 or Latin-1, or declares a document type.
    """
    next(elements(path, ("start",)))  # expat has then seen the whole prologue, the only place for a DOCTYPE
    with _open(path) as stream:
        head = _Limited(stream, path, INPUT_LIMIT_BYTES).read(200)
    declared = re.search(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)""", head)
    if b"\0" in head or (declared and declared[1].lower() not in _ENCODINGS):
        raise InputFileError(f"{path} is neither UTF-8 nor Latin-1: save it as UTF-8")


def mentions(path: Path, pattern: re.Pattern[bytes]) -> bool:
    """Tell whether a pattern stands anywhere in a file, compressed or not; a match must be shorter than 4 kB.

    Raises
    ------
    InputFileError
        If the file cannot be read or is too large.
    """
    with _open(path) as stream:
        reader = _Limited(stream, path, INPUT_LIMIT_BYTES)
        tail = b""
        while chunk := reader.read(1 << 20):
            tail = tail[-4096:] + chunk
            if pattern.search(tail):
                return True
        return False


def read_configuration(sumocfg: str | Path, arguments: Sequence[str] = ()) -> SumoConfiguration:
    """Read a SUMO configuration; options given as command-line arguments win over those in the file.

    Raises
    ------
    InputFileError
        If a file is missing, malformed, too large, declares entities, or an option is not to be trusted.
    """
    path = Path(sumocfg).resolve()
    options: dict[str, str] = {}
    for element in root_of(path, CONFIGURATION_LIMIT_BYTES).iter():
        value = element.get("value", element.get("v"))
        if value is None and len(element) == 0:
            value = (element.text or "").strip() or None
        if value is not None:
            options[_SYNONYMS.get(element.tag, element.tag)] = value.strip()
    options |= parse_options(arguments)
    for name, reason in REFUSED_OPTIONS.items():
        if options.get(name, "") not in ("", "-1"):
            raise InputFileError(f"{path} sets {name}: {reason}; remove it")
    for name in INPUT_OPTIONS & options.keys():
        options[name] = ",".join(str(absolute(part, path.parent)) for part in _split(options[name]))
    if not options.get("net-file"):
        raise InputFileError(f"{path} names no net-file: SUMO needs a road network")

    def files(name: str) -> tuple[Path, ...]:
        found = tuple(Path(part) for part in _split(options.get(name, "")))
        for file in found:
            if not file.is_file():
                raise InputFileError(f"{file} does not exist: {path} names it as one of its {name}")
        return found

    def time(name: str, default: float | None) -> float | None:
        text = options.get(name, "")
        try:
            value = seconds(text) if text else default
            if value is not None and not math.isfinite(value):
                raise ValueError
        except ValueError:
            raise InputFileError(f"{path} sets {name} to {text!r}: write seconds, or hours:minutes:seconds") from None
        return value

    begin_s, end_s, step_s = time("begin", 0.0) or 0.0, time("end", None), time("step-length", 1.0) or 0.0
    end_s = None if end_s is not None and end_s < 0 else end_s  # SUMO's word for "to the last vehicle"
    if begin_s < 0 or step_s < _SHORTEST_STEP_S or (end_s is not None and end_s <= begin_s):
        raise InputFileError(
            f"{path} runs from {begin_s:g} s to {'the last vehicle' if end_s is None else f'{end_s:g} s'} in steps of "
            f"{step_s:g} s: it must begin at 0 or later, before its end, and step by {_SHORTEST_STEP_S:g} s at least"
        )
    return SumoConfiguration(
        path, files("net-file")[0], files("route-files"), files("additional-files"), begin_s, end_s, step_s, options
    )


def input_files(configuration: SumoConfiguration) -> tuple[Path, ...]:
    """Return every file that decides a run, also those that others include or name.

    Raises
    ------
    InputFileError
        If a file that names others is malformed, or includes itself.
    """
    named = (part for name in sorted(INPUT_OPTIONS & configuration.options.keys())
             for part in _split(configuration.options[name]))  # fmt: skip
    found = dict.fromkeys([configuration.path, configuration.net, *configuration.routes, *configuration.additionals])
    for path in (*found, *map(Path, named)):
        found |= dict.fromkeys(_with_included(path))
    return tuple(path for path in found if path.is_file())


def _with_included(path: Path, seen: frozenset[Path] = frozenset()) -> Iterator[Path]:
    if path in seen:
        raise InputFileError(f"{path} includes itself: remove the include")
    yield path
    if path.is_file() and mentions(path, _NAMES_A_FILE):
        for element in root_of(path).iter():
            if element.tag in _INPUT_FILE_TAGS and (name := element.get("file")):
                yield absolute(name, path.parent)
            if name := element.get("href"):
                yield from _with_included(absolute(name, path.parent), seen | {path})


def _split(names: str) -> list[str]:
    return [part.strip() for part in re.split("[,;]", names) if part.strip()]


def absolute(name: str, base: Path) -> Path:
    """Return where a name leads that stands in a file of a folder."""
    return (base / name).resolve()


class _Names:
    """Names of outputs inside one folder: flat, each of one origin."""

    def __init__(self, folder: Path, prefix: str = "", suffix: str = "") -> None:
        self._folder = folder
        self._prefix, self._suffix = (re.sub(r"[^\w+#-]", "_", part) for part in (prefix, suffix))
        self._prefix = self._prefix.lstrip("_")
        self._origins: dict[str, object] = {}

    def __call__(self, name: str, base: Path) -> str:
        """Return where the output that a file in ``base`` calls ``name`` goes."""
        if name.lower() in ("", "nul", "null", "/dev/null"):
            return name and "/dev/null"
        last = name.replace("\\", "/").rpartition("/")[2]
        stem, dot, extension = last.partition(".")
        flat = re.sub(r"[^\w.+#-]", "_", self._prefix + stem + self._suffix + dot + extension).strip(".")
        return self.unique(flat or "output", absolute(name, base))

    def unique(self, flat: str, origin: object) -> str:
        candidate, number = flat, 1
        while self._origins.setdefault(candidate, origin) != origin:
            number += 1
            stem, dot, extension = flat.partition(".")
            candidate = f"{stem}_{number}{dot}{extension}"
        return str(self._folder / candidate)


def _staged(path: Path, names: _Names, seen: frozenset[Path] = frozenset()) -> Path:
    """Return the file itself, or a copy in the run's folder if it names files."""
    if path in seen:
        raise InputFileError(f"{path} includes itself: remove the include")
    check_trusted(path)
    if not mentions(path, _NAMES_A_FILE):
        return path
    root, base = root_of(path), path.parent
    for element in root.iter():
        for key in ("file", "output", "dest"):
            value = element.get(key)
            if value is None or (key == "dest" and element.tag != "timedEvent"):
                continue
            is_input = key == "file" and element.tag in _INPUT_FILE_TAGS
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
    """Write a configuration into a folder from which a run leaves nothing anywhere else.

    Parameters
    ----------
    configuration
        What `read_configuration` returned.
    folder
        Where it and every output go.
    options
        Options that win over the configuration's; the outputs among them must lie in ``folder``.
    additionals
        Further additional files, as they are.

    Returns
    -------
    Path
        The staged configuration.

    Raises
    ------
    InputFileError
        If an input cannot be trusted, or the folder's name holds a character that SUMO gives a meaning.
    """
    folder = folder.resolve()
    if bad := re.search("[:,;$%]", str(folder)):
        raise InputFileError(f"folder {folder} has {bad[0]!r} in its path, which SUMO gives a meaning: choose another")
    base, given = configuration.path.parent, dict(configuration.options)
    names = _Names(folder, given.get("output-prefix", ""), given.get("output-suffix", ""))
    own = dict(options or {})
    for name in ("run.sumocfg", *(Path(value).name for value in own.values()), *(p.name for p in additionals)):
        names.unique(name, ("own", name))
    if any(name.startswith("save-state.") for name in given):
        given.setdefault("save-state.prefix", "state")
    given.setdefault("device.ssm.file", "ssm.xml")
    for name, value in given.items():
        if name in OUTPUT_OPTIONS or name.endswith("-output"):
            # The times are a list, and so are the files of saved states.
            parts = _split(value) if name == "save-state.files" else [value]
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
