"""How does a person look into a run that is too long for one file? A server on this machine reads what is looked at."""

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

from .comparison import Comparison
from .report.charts import coupled_quantities, thinned
from .report.packing import shapes_json
from .report.page import layer_entry, render_page, scene_of
from .report.scene import View, change_scale_of, scale_of
from .results import Result

HOST = "127.0.0.1"
SAMPLES = 12
"""Moments from which a colour scale is taken: a whole year is not read for it."""


class Viewer:
    """What a browser may ask of runs: the page, shapes, values at a moment, courses.

    Parameters
    ----------
    runs
        A run or a comparison.
    """

    def __init__(self, runs: Result | Comparison) -> None:
        self._runs = runs
        self._scene = scene_of(runs)
        self.row = lru_cache(maxsize=256)(self._row)
        self.total = lru_cache(maxsize=64)(self._total)

    @cached_property
    def page(self) -> bytes:
        """The page, with scales taken from a few moments."""
        scene = self._scene
        every = min((self._every(view, run) for view in scene.views for run, there in enumerate(view.present) if there),
                    default=float(scene.runs[0].provenance["clock"]["step_s"]))  # fmt: skip
        clock = scene.runs[0].provenance["clock"]
        content = {
            "served": True, "names": scene.names, "zone": clock["zone"], "start": scene.start.timestamp(),
            "every": every, "n": max(1, math.ceil(scene.length_s / every - 1e-9)),
            "shapes": [{"kind": shapes.kind} for shapes in scene.shapes],
            "layers": [self._layer(k) for k in range(len(scene.views))],
            "charts": coupled_quantities(scene),
        }  # fmt: skip
        notes = [
            f"Every recorded row is shown; colour scales are taken from {SAMPLES} moments, and curves are means over "
            "so many rows that few points are left.",
            *(["Of runs with different seeds the map shows the first."] if len(scene.groups[0]) > 1 else []),
        ]
        return render_page(self._runs, scene, content, [], notes).encode("utf-8")

    def answer(self, path: str) -> tuple[str, bytes]:
        """Return the content type and the content at a path.

        Raises
        ------
        KeyError
            If there is nothing at it.
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
                case "shapes", [k]:
                    return "application/json", shapes_json(self._scene.shapes[k])
                case "frame", [layer, run, frame]:
                    return "application/octet-stream", self.row(layer, run, frame).astype("<f4").tobytes()
                case "course", [layer, run, element]:
                    return "application/json", json.dumps(self._course(layer, run, element)).encode()
                case "total", [layer, run]:
                    return "application/json", json.dumps(self.total(layer, run)).encode()
        except IndexError:
            pass
        raise KeyError(path)

    def _view(self, layer: int, run: int) -> View:
        view = self._scene.views[layer]
        if not view.present[run]:
            raise KeyError(run)
        return view

    def _every(self, view: View, run: int) -> float:
        return float(self._scene.runs[run].provenance["outputs"][view.layer.port]["every_s"])

    def _layer(self, k: int) -> dict[str, Any]:
        view = self._scene.views[k]
        counts = [
            max(1, math.ceil(self._scene.length_s / self._every(view, run) - 1e-9)) if there else 0
            for run, there in enumerate(view.present)
        ]
        rows = [
            np.array([self.row(k, run, int(i)) for i in np.linspace(0, count - 1, min(SAMPLES, count)).round()])
            if count else None
            for run, count in enumerate(counts)
        ]  # fmt: skip
        known = [values for values in rows if values is not None]
        base = rows[0]
        changes = [
            plan - base for plan in rows[1:] if plan is not None and base is not None and plan.shape == base.shape
        ]
        entry = layer_entry(self._scene, k, scale_of(view, known), change_scale_of(changes))
        entry["runs"] = [
            {"every": self._every(view, run), "n": count} if count else None for run, count in enumerate(counts)
        ]
        return entry

    def _row(self, layer: int, run: int, frame: int) -> NDArray[np.float64]:
        view = self._view(layer, run)
        every = self._every(view, run)
        result = self._scene.runs[run]
        if frame * every >= self._scene.length_s:
            raise IndexError(frame)
        values: NDArray[np.float64] = self._scene.aligned(view, result.row(view.layer.port, frame).to_frame().T)[0]
        return values

    def _course(self, layer: int, run: int, element: int) -> dict[str, Any]:
        view = self._view(layer, run)
        label = self._scene.shapes[view.shapes].labels[element]
        result = self._scene.runs[run]
        try:
            series = result.series(view.layer.port, [label])[label]
        except CosimError:  # this run has no such element
            series = pd.Series(dtype=float, index=pd.DatetimeIndex([], tz="UTC"))
        return thinned(series * view.layer.factor, self._scene.start, self._every(view, run))

    def _total(self, layer: int, run: int) -> dict[str, Any]:
        view = self._view(layer, run)
        table = self._scene.runs[run].spread(view.layer.port) * view.layer.factor
        wanted: dict[str, Literal["mean", "min", "max"]] = {"mean": "mean", "low": "min", "high": "max"}
        if view.adds_up:
            wanted = {"sum": "mean"}
        every = self._every(view, run)
        curves = {name: thinned(table[name], self._scene.start, every, how) for name, how in wanted.items()}
        return {"every": next(iter(curves.values()))["every"]} | {
            name: curve["values"] for name, curve in curves.items()
        }


class Server:
    """Serves a viewer on the loopback interface until it is interrupted.

    Parameters
    ----------
    runs
        A run or a comparison.
    port
        Port on 127.0.0.1; 0 takes a free one.

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
            raise CosimError(f"port {port} of {HOST} is taken or not allowed: pass another with --port, or 0 for a "
                             "free one") from error  # fmt: skip
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """Where a browser finds it."""
        return f"http://{HOST}:{self._server.server_port}/"

    def serve(self) -> None:
        """Answer until Ctrl-C or `close`."""
        try:
            self._server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            return

    def close(self) -> None:
        """Stop answering and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.server_close()


class _Handler(http.server.BaseHTTPRequestHandler):
    viewer: Viewer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        # A page from elsewhere may point a name of its own at this machine; only these two names are ours.
        assert isinstance(self.server, http.server.HTTPServer)
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):
            self._send(403, "text/plain", b"this server answers to its own address only")
            return
        try:
            kind, content = self.viewer.answer(self.path)
        except KeyError:
            self._send(404, "text/plain", b"there is nothing here")
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
        """Say nothing of requests."""
