"""The local server for runs that are too long for a single file; it reads only the data that is viewed."""

from __future__ import annotations

import errno
import http.server
import json
import math
from functools import cached_property, lru_cache
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cosim.core.errors import CosimError
from cosim.results.comparison import Comparison
from cosim.results.days import weighted_day
from cosim.results.result import Result

from .charts import coupled_quantities, course, plain, thinned
from .packing import shapes_json
from .page import case_content, layer_entry, render_page, scene_of
from .scene import View, change_scale_of, is_still, make_scene, scale_of, window_s

HOST = "127.0.0.1"
SAMPLES = 12
"""Number of moments from which a colour scale is derived, instead of reading the whole run."""


class Viewer:
    """The resources of runs for a browser: the page, shapes, values at a moment, time courses.

    For a comparison with several seeds, each seed is a separate case on the map; curves and indicators cover all seeds.

    Parameters
    ----------
    runs
        A run or a comparison.
    """

    def __init__(self, runs: Result | Comparison) -> None:
        self._runs = runs
        whole = scene_of(runs, cells=False)
        self._whole = whole
        self._charts = coupled_quantities(whole)
        n = len(whole.groups[0])
        seeds = [[group[k] for group in whole.groups] for k in range(n)]
        self._scenes = (
            [make_scene([[run] for run in one], whole.names, cells=False) for one in seeds] if n > 1 else [whole]
        )
        self._names = [f"seed {one[0].provenance['seed']}" for one in seeds] if n > 1 else [""]
        self.row = lru_cache(maxsize=256)(self._row)
        self.mean = lru_cache(maxsize=64)(self._mean)
        self.peak = lru_cache(maxsize=64)(self._peak)
        self.total = lru_cache(maxsize=64)(self._total)

    @cached_property
    def page(self) -> bytes:
        """The page, with scales derived from a few moments of the first case."""
        scene = self._scenes[0]
        found = [self._every(view, 0, run) for view in scene.views for run, there in enumerate(view.present) if there]
        every = min(found, default=float(scene.runs[0].provenance["clock"]["step_s"]))
        scales = {self._key(view): self._scales(k) for k, view in enumerate(scene.views)}
        cases = [
            case_content(scene, name, every, self._layers(at, scales), self._charts)
            for at, (name, scene) in enumerate(zip(self._names, self._scenes))
        ]
        notes = [
            f"Every recorded row is shown; colour scales are derived from {SAMPLES} moments, and curves are averaged "
            "over several rows per point.",
            *(["The map shows one seed at a time; curves and indicators cover all seeds."] if len(cases) > 1 else []),
        ]
        content = {"served": True, "cases": cases}
        return render_page(self._runs, content, [], notes, scenes={"": self._whole}).encode("utf-8")

    def answer(self, path: str) -> tuple[str, bytes]:
        """Return the content type and the content at a path.

        Raises
        ------
        KeyError
            If the path is unknown.
        """
        what, *numbers = path.strip("/").split("/")
        try:
            indices = [int(text) for text in numbers]
        except ValueError:
            raise KeyError(path) from None
        if any(index < 0 for index in indices):
            raise KeyError(path)
        try:
            match what, indices:
                case "", []:
                    return "text/html; charset=utf-8", self.page
                case "shapes", [at, k]:
                    return "application/json", shapes_json(self._scenes[at].shapes[k])
                case "frame", [at, layer, run, frame]:
                    return "application/octet-stream", self.row(at, layer, run, frame).astype("<f4").tobytes()
                case "mean", [at, layer, run, first, last] if first < 24 and 0 < last <= 24:
                    return "application/octet-stream", self.mean(at, layer, run, first, last).astype("<f4").tobytes()
                case "peak", [at, layer, run]:
                    return "application/octet-stream", self.peak(at, layer, run).astype("<f4").tobytes()
                case "course", [at, layer, run, element]:
                    return "application/json", json.dumps(self._course(at, layer, run, element)).encode()
                case "total", [at, layer, run]:
                    return "application/json", json.dumps(self.total(at, layer, run)).encode()
        except IndexError:
            pass
        raise KeyError(path)

    def _view(self, at: int, layer: int, run: int) -> View:
        view = self._scenes[at].views[layer]
        if not view.present[run]:
            raise KeyError(run)
        return view

    def _every(self, view: View, at: int, run: int) -> float:
        return self._scenes[at].every(view, run)

    @staticmethod
    def _key(view: View) -> tuple[str, str]:
        return view.layer.title, view.layer.port

    def _counts(self, at: int, view: View) -> list[int]:
        """Return the number of rows of a layer in each run, 0 if it was not recorded."""
        length_s = self._scenes[at].length_s
        return [
            max(1, math.ceil(length_s / self._every(view, at, run) - 1e-9)) if there else 0
            for run, there in enumerate(view.present)
        ]

    def _scales(self, k: int) -> tuple[tuple[float, float], float, bool]:
        """Return the colour scales of a layer's values and differences and whether it is still, from the first case."""
        view = self._scenes[0].views[k]
        rows = [
            np.array([self.row(0, k, run, int(i)) for i in np.linspace(0, n - 1, min(SAMPLES, n)).round()])
            if n
            else None
            for run, n in enumerate(self._counts(0, view))
        ]
        known = [values for values in rows if values is not None]
        base = rows[0]
        changes = [
            plan - base for plan in rows[1:] if plan is not None and base is not None and plan.shape == base.shape
        ]
        return scale_of(view, known), change_scale_of(changes), is_still(rows)

    def _layers(
        self, at: int, scales: dict[tuple[str, str], tuple[tuple[float, float], float, bool]]
    ) -> list[dict[str, Any]]:
        entries = []
        for k, view in enumerate(self._scenes[at].views):
            scale, change, still = scales.get(self._key(view), ((0.0, 1.0), 1.0, False))
            entry = layer_entry(self._scenes[at], k, f"{at}/{view.shapes}", scale, change, still=still)
            entry["runs"] = [
                {"every": self._every(view, at, run), "n": n} if n else None
                for run, n in enumerate(self._counts(at, view))
            ]
            entries.append(entry)
        return entries

    def _row(self, at: int, layer: int, run: int, frame: int) -> NDArray[np.float64]:
        view = self._view(at, layer, run)
        every = self._every(view, at, run)
        scene = self._scenes[at]
        if frame * every >= scene.length_s:
            raise IndexError(frame)
        if view.layer.hours:
            return self.mean(at, layer, run)
        table = scene.runs[run].row(view.layer.port, frame).to_frame().T
        values: NDArray[np.float64] = scene.aligned(view, table)[0]
        return values

    def _mean(self, at: int, layer: int, run: int, first: int = 0, last: int = 24) -> NDArray[np.float64]:
        """Return the mean over the whole period, or over the hours from the first to before the last of its days."""
        scene, view = self._scenes[at], self._view(at, layer, run)
        values: NDArray[np.float64]
        if last - first == 24 or view.layer.hours:
            values = scene.means(view, run, scene.length_s)[1][0]
            return values
        hours = [h for h in range(24) if (first <= h < last if first < last else h >= first or h < last)]
        weights = [1.0 * (h in hours) / len(hours) for h in range(24)]
        day = weighted_day(scene.runs[run], view.layer.port, weights)
        values = scene.aligned(view, day.to_frame().T)[0]
        return values

    def _peak(self, at: int, layer: int, run: int) -> NDArray[np.float64]:
        """Return the worst of the means over the frames of a report."""
        view, scene = self._view(at, layer, run), self._scenes[at]
        values = scene.means(view, run, window_s(scene))[1]
        lowest = view.layer.worst == "lowest"
        worst = np.where(np.isfinite(values), values, math.inf if lowest else -math.inf)
        found: NDArray[np.float64] = worst.min(axis=0) if lowest else worst.max(axis=0)
        return np.where(np.isfinite(found), found, math.nan)

    def _course(self, at: int, layer: int, run: int, element: int) -> dict[str, Any]:
        view, scene = self._view(at, layer, run), self._scenes[at]
        label = scene.shapes[view.shapes].labels[element]
        if view.layer.hours:
            return {"every": scene.length_s, "values": plain(self.mean(at, layer, run)[[element]])}
        try:
            series = scene.runs[run].series(view.layer.port, [label])[label]
        except CosimError:  # this run has no such element
            series = pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
        return thinned(series * view.layer.factor, scene.start, self._every(view, at, run), level=view.level)

    def _total(self, at: int, layer: int, run: int) -> dict[str, Any]:
        view, scene = self._view(at, layer, run), self._scenes[at]
        if view.layer.hours:
            return {"every": scene.length_s} | course(view, self.mean(at, layer, run)[None])
        table = scene.runs[run].spread(view.layer.port) * view.layer.factor
        wanted: dict[str, Literal["mean", "min", "max"]] = {"mean": "mean", "low": "min", "high": "max"}
        if view.adds_up:
            wanted = {"sum": "mean"}
        every = self._every(view, at, run)
        curves = {name: thinned(table[name], scene.start, every, how, level=view.level) for name, how in wanted.items()}
        return {"every": next(iter(curves.values()))["every"]} | {
            name: curve["values"] for name, curve in curves.items()
        }


class ReportServer:
    """Serves a viewer on the loopback interface until it is interrupted.

    Parameters
    ----------
    runs
        A run or a comparison.
    port
        Port on 127.0.0.1; 0 for any free port.

    Raises
    ------
    CosimError
        If the port is taken.
    """

    def __init__(self, runs: Result | Comparison, port: int = 0) -> None:
        viewer = Viewer(runs)

        class Handler(_Handler):
            pass

        Handler.viewer = viewer
        try:
            self._server = http.server.ThreadingHTTPServer((HOST, port), Handler)
        except OSError as error:
            if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                raise
            raise CosimError(
                f"port {port} of {HOST} is in use or not allowed: pass another one with --port, or 0 for any free port"
            ) from error
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """The address for a browser."""
        return f"http://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Serve requests until Ctrl-C or `close`."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Stop serving and release the port."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> ReportServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    viewer: Viewer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # Against DNS rebinding: only these two host names are accepted.
        assert isinstance(self.server, http.server.HTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._send(403, "text/plain", b"unknown host")
            return
        try:
            kind, content = self.viewer.answer(self.path)
        except KeyError:
            self._send(404, "text/plain", b"not found")
        except CosimError as error:
            self._send(500, "text/plain; charset=utf-8", str(error).encode())
        else:
            self._send(200, kind, content)

    def _send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Do not log requests."""
