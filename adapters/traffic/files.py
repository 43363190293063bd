"""Files of a SUMO scenario, read without trust."""

from __future__ import annotations

import gzip
import math
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import IO
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import ExpatError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import iterparse as _iterparse

from cosim.core.errors import InputFileError
from cosim.core.markup import Reader

# From `sumo --save-template`: every option of type FILE is one of these, or an output.
INPUT_OPTIONS = frozenset(
    {
        "net-file",
        "route-files",
        "additional-files",
        "weight-files",
        "load-state",
        "fcd-output.filter-edges.input-file",
        "device.ssm.filter-edges.input-file",
        "astar.all-distances",
        "astar.landmark-distances",
        "phemlight-path",
        "device.fcd-replay.files",
    }
)
OUTPUT_OPTIONS = frozenset({
    "netstate-dump", "save-state.prefix", "save-state.files", "pedestrian.jupedsim.wkt", "pedestrian.jupedsim.py",
    "log", "message-log", "error-log", "device.ssm.file", "device.toc.file", "device.rerouting.output",
    "device.taxi.dispatch-algorithm.output", "device.taxi.idle-algorithm.output",
})  # fmt: skip
"""Output options without the ending ``-output``."""

# Useless in a run without a window, or they make SUMO write its options and stop.
DROPPED_OPTIONS = frozenset({
    "configuration-file", "save-configuration", "save-template", "save-schema", "save-commented", "num-clients",
    "gui-settings-file", "edgedata-files", "alternative-net-file", "selection-file", "gui-testing.setting-output",
    "output-prefix", "output-suffix", "output.format",
})  # fmt: skip
REFUSED_OPTIONS = {
    "remote-port": "it lets any host on the network control the simulation",
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
"""Larger files are refused: no city's network comes close (Berlin's has 0.4 GB), but a gzip bomb exceeds them."""

INPUT_FILE_TAGS = frozenset({"rerouter", "variableSpeedSign"})  # in all others the attribute `file` is an output
# Attributes that may name a file, in any element; a character reference could hide one.
NAMES_A_FILE = re.compile(rb"""[\s"'](?:file|output|dest|href)\s*=|(?:file|output)\s*["']|&#""")
WORDS_OF_FILES = (b"file", b"output", b"dest", b"href", b"&#")
_INCLUDE = re.compile(rb"<include\s")
_VARIABLE = re.compile(r"\$\{([^}]+)\}")
# SUMO gives these the run's time and process; files of a run are in a folder of their own, so their names stand.
_RUN_VARIABLES = frozenset({"LOCALTIME", "UTC", "PID", "SUMO_LOGO"})
ENDINGS = (".csv", ".csv.gz", ".prq", ".parquet")
"""Endings by which SUMO chooses another format than XML, whatever ``output.format`` says."""
FORMATS = {"": "", "xml": "", "csv": ".csv", "parquet": ".parquet"}
_ENCODINGS = (b"utf-8", b"us-ascii", b"ascii", b"iso-8859-1", b"latin-1", b"windows-1252")


@dataclass(frozen=True, kw_only=True)
class SumoConfiguration:
    """A SUMO configuration with options under their full names and inputs as absolute paths.

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
    environment: Mapping[str, str] = field(default_factory=dict)
    """Values of the environment variables that the configuration names."""
    mended: tuple[tuple[str, str], ...] = ()
    """Options that were not taken as they stand, and why."""

    @property
    def demand(self) -> tuple[Path, ...]:
        """Every additional and route file with those that they include, in the order in which SUMO reads them."""
        return with_includes((*self.additionals, *self.routes))


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
    """Open a file that may be compressed, whatever its name; every error names the file."""
    if path.exists() and not path.is_file():
        raise InputFileError(f"{path} is not a regular file: name a file")
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
    except (ParseError, ExpatError, UnicodeError, LookupError) as error:
        raise InputFileError(f"{path} is not well-formed XML: {error}") from error
    except (OSError, EOFError) as error:
        raise InputFileError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


class _Limited:
    """A reader that refuses to deliver more than a given number of bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, path: Path, limit: int) -> None:
        self._stream, self._path, self._limit, self._left = stream, path, limit, limit

    def read(self, size: int = 1 << 16) -> bytes:
        chunk = self._stream.read(size if size >= 0 else self._left + 1)
        self._left -= len(chunk)
        if self._left < 0:
            raise InputFileError(f"{self._path} has more than {self._limit:,} bytes: refused as not credible")
        return chunk


def elements(path: Path, events: Sequence[str], limit: int = INPUT_LIMIT_BYTES) -> Iterator[tuple[str, Element]]:
    """Stream the elements of a file, refusing entities and absurd sizes."""
    with _open(path) as stream:
        yield from _iterparse(_Limited(stream, path, limit), events=events, forbid_dtd=True)


def attributes(
    path: Path, tags: Collection[str], keys: Collection[str] | None = None, among: Collection[str] | None = None
) -> Iterator[tuple[str, dict[str, str]]]:
    """Stream tag and attributes of a file's elements of some kinds, where they begin; much faster than `elements`.

    Parameters
    ----------
    path, tags
        The file, and the kinds of elements.
    keys
        Attributes that are wanted; all by default.
    among
        Identifiers (``id``) of wanted elements; all by default.

    Raises
    ------
    InputFileError
        If the file cannot be read, is not well-formed, too large, or declares a document type.
    """
    parser = Reader(tags, keys, among)
    with _open(path) as stream:
        reader = _Limited(stream, path, INPUT_LIMIT_BYTES)
        while True:
            chunk = reader.read(1 << 20)
            yield from parser.feed(chunk)
            if not chunk:
                return


def root_of(path: Path, limit: int = INPUT_LIMIT_BYTES) -> Element:
    """Return the root of a file, refusing entities and absurd sizes."""
    root = None
    for _, element in elements(path, ("end",), limit):
        root = element
    assert root is not None  # expat refuses a document without an element
    return root


def included_elements(
    files: Iterable[str | Path], within: frozenset[Path] = frozenset()
) -> Iterator[tuple[Path, Element]]:
    """Stream the elements of files and of those that they include, in SUMO's order, each with its file.

    Raises
    ------
    InputFileError
        If a file cannot be read, or includes itself.
    """
    for path in map(Path, files):
        refuse_circle(path, within)
        for _, element in elements(path, ("end",)):
            if element.tag == "include" and "href" in element.attrib:
                yield from included_elements([absolute(element.attrib["href"], path.parent)], within | {path})
            else:
                yield path, element


def with_includes(files: Iterable[Path], within: frozenset[Path] = frozenset()) -> tuple[Path, ...]:
    """Return files with those that they include, each once, an included one before the one that includes it.

    Raises
    ------
    InputFileError
        If a file cannot be read, or includes itself.
    """
    found: dict[Path, None] = {}
    for path in files:
        refuse_circle(path, within)
        if mentions(path, _INCLUDE, (b"<include",)):
            named = [absolute(e.attrib["href"], path.parent) for e in root_of(path).iter("include") if e.get("href")]
            found |= dict.fromkeys(with_includes(named, within | {path}))
        found[path] = None
    return tuple(found)


def refuse_circle(path: Path, within: frozenset[Path]) -> None:
    """Refuse a file that includes itself."""
    if path in within:
        raise InputFileError(f"{path} includes itself: remove the include")


def check_trusted(path: Path) -> None:
    """Check a file that SUMO will read.

    Raises
    ------
    InputFileError
        If it is missing, not UTF-8 or Latin-1, or declares a document type.
    """
    next(elements(path, ("start",)))  # expat has then parsed the whole prologue, the only place for a DOCTYPE
    with _open(path) as stream:
        head = _Limited(stream, path, INPUT_LIMIT_BYTES).read(200)
    declared = re.search(rb"""<\?xml[^>]*encoding\s*=\s*["']([^"']*)""", head)
    if b"\0" in head or (declared and declared[1].lower() not in _ENCODINGS):
        raise InputFileError(f"{path} is neither UTF-8 nor Latin-1: save it as UTF-8")


def mentions(path: Path, pattern: re.Pattern[bytes], words: Sequence[bytes] = ()) -> bool:
    """Return whether a pattern occurs in a file, compressed or not; a match must be shorter than 4 kB.

    One of the words, if there are any, is in every match: they are looked for first, which is faster.

    Raises
    ------
    InputFileError
        If the file cannot be read or is too large.
    """
    return _mentions(path, version_of(path), pattern, tuple(words))


def version_of(path: Path) -> tuple[int, ...]:
    """Return what changes when a file is written anew; refuse what is no file."""
    with _open(path):
        about = path.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


@lru_cache(maxsize=4096)
def _mentions(path: Path, version: tuple[int, ...], pattern: re.Pattern[bytes], words: tuple[bytes, ...]) -> bool:
    """Return what `mentions` does, once for each version of a file."""
    return any(pattern.search(p) for p in pieces(path) if not words or any(word in p for word in words))


def pieces(path: Path) -> Iterator[bytes]:
    """Yield a file piece by piece, each with the last 4 kB of the one before; refuse absurd sizes."""
    with _open(path) as stream:
        reader, piece = _Limited(stream, path, INPUT_LIMIT_BYTES), b""
        while chunk := reader.read(1 << 20):
            yield (piece := piece[-4096:] + chunk)


def read_configuration(sumocfg: str | Path, arguments: Sequence[str] = ()) -> SumoConfiguration:
    """Read a SUMO configuration; options given as command-line arguments override those in the file.

    Raises
    ------
    InputFileError
        If a file is missing, malformed, too large, declares entities, or an option is not trusted.
    """
    path = Path(sumocfg).resolve()
    options: dict[str, str] = {}
    mended: list[tuple[str, str]] = []
    for element in root_of(path, CONFIGURATION_LIMIT_BYTES).iter():
        value = element.get("value", element.get("v"))
        if value is None and len(element) == 0:
            value = (element.text or "").strip() or None
        name = _SYNONYMS.get(element.tag, element.tag)
        if value is None:
            if re.search("[-.]", element.tag):  # no section
                mended.append((name, 'it has no value and is not set, as in SUMO: write value="…"'))
        elif name in options:
            raise InputFileError(f"{path} sets {name} twice: SUMO refuses that; write it once, files as a list")
        else:
            options[name] = value.strip()
    options |= parse_options(arguments)
    environment: dict[str, str] = {}
    options = {name: _expanded(value, name, path, environment) for name, value in options.items()}
    for name, reason in REFUSED_OPTIONS.items():
        if options.get(name, "") not in ("", "-1"):
            raise InputFileError(f"{path} sets {name}: {reason}; remove it")
    for name in INPUT_OPTIONS & options.keys():
        options[name] = ",".join(str(absolute(part, path.parent)) for part in split_names(options[name]))
    if not options.get("net-file"):
        raise InputFileError(f"{path} names no net-file: SUMO needs a road network")

    def files(name: str) -> tuple[Path, ...]:
        found = tuple(Path(part) for part in split_names(options.get(name, "")))
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

    if (form := options.get("output.format", "")) not in FORMATS:
        raise InputFileError(f"{path} sets output.format to {form!r}: write {', '.join(filter(None, FORMATS))}")
    begin_s, end_s, step_s = time("begin", 0.0) or 0.0, time("end", None), time("step-length", 1.0) or 0.0
    if states := files("load-state"):
        state_s = _time_of_state(states[0], path, time("load-state.offset", 0.0) or 0.0)
        if "begin" in options and begin_s != state_s:
            why = f"{begin_s:g} s is given, but SUMO continues from {states[0].name}, saved at {state_s:g} s"
            mended.append(("begin", why))
        begin_s = state_s
        options["begin"] = f"{state_s:.3f}"
    end_s = None if end_s is not None and end_s < 0 else end_s  # a negative end means "to the last vehicle"
    if begin_s < 0 or step_s < _SHORTEST_STEP_S or (end_s is not None and end_s <= begin_s):
        raise InputFileError(
            f"{path} runs from {begin_s:g} s to {'the last vehicle' if end_s is None else f'{end_s:g} s'} in steps of "
            f"{step_s:g} s: it must begin at 0 or later, before its end, with steps of {_SHORTEST_STEP_S:g} s or more"
        )
    return SumoConfiguration(
        path=path,
        net=files("net-file")[0],
        routes=files("route-files"),
        additionals=files("additional-files"),
        begin_s=begin_s,
        end_s=end_s,
        step_length_s=step_s,
        options=options,
        environment=environment,
        mended=tuple(mended),
    )


def _expanded(value: str, name: str, path: Path, environment: dict[str, str]) -> str:
    """Return an option's value with ``${NAME}`` replaced as SUMO does; the variables go into ``environment``."""

    def replaced(match: re.Match[str]) -> str:
        variable = match[1]
        if variable in _RUN_VARIABLES:
            return variable
        if variable not in os.environ:
            raise InputFileError(
                f"{path} sets {name} to {value!r}: the environment variable {variable} is not defined; define it, or "
                "write the value itself"
            )
        environment[variable] = os.environ[variable]
        return environment[variable]

    return _VARIABLE.sub(replaced, value)


def _time_of_state(state: Path, path: Path, offset_s: float) -> float:
    """Return the time from which SUMO continues a saved state. [s]"""
    if offset_s:
        raise InputFileError(
            f"{path} sets load-state.offset to {offset_s:g} s: SUMO shifts departures but not its own time; save the "
            "state at the time at which the run is to begin"
        )
    _, root = next(elements(state, ("start",)))
    try:
        return seconds(root.attrib["time"])
    except (KeyError, ValueError):
        raise InputFileError(
            f"{state} is not a state saved by SUMO: its first element is {root.tag!r} and has no time; name a file "
            "written with save-state.times"
        ) from None


def input_attributes(root: Element) -> list[tuple[Element, str]]:
    """Return the elements of an additional file that name an input, beside includes, each with the attribute."""
    return [
        (element, key)
        for element in root.iter()
        for key in ("file", "imgFile")
        if element.get(key) and (key == "imgFile" or element.tag in INPUT_FILE_TAGS)
    ]


def split_names(names: str) -> list[str]:
    """Return the names of a list as SUMO separates them."""
    return [part.strip() for part in re.split("[,;]", names) if part.strip()]


def absolute(name: str, base: Path) -> Path:
    """Return the path of a name in a file of a folder."""
    return (base / name).resolve()
