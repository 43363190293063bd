"""A mosaik simulator with closed-form behaviour and faults.

Imported, or run as ``python -m tests.support.mosaik_toys ADDR``.
"""

from __future__ import annotations

import os
import pathlib
import signal
import time as clock

import mosaik_api_v3


class Cells(mosaik_api_v3.Simulator):
    """Cells whose ``y`` is twice the sum of ``x`` plus the time; what else they do is a setting."""

    def __init__(self):
        super().__init__({"api_version": "3.0", "type": "time-based", "models": {}})

    def init(self, sid, time_resolution=1.0, step_size=60, kind="time-based", fault="", at=120, **meta):
        self.sid, self.step_size, self.fault, self.at, self.y = sid, step_size, fault, at, {}
        self.calls, self.now = [], None
        self.added, self.factor = {}, 2.0
        about = {"public": True, "params": ["scale"], "attrs": ["x", "y", "seen"]}
        about |= {key: meta.pop(key) for key in ("trigger", "non-trigger", "persistent", "attrs") if key in meta}
        self.meta |= {"type": kind, "models": {"Cell": about, "Hidden": about | {"public": False}}} | meta
        return None if fault == "no meta" else self.meta

    def prepare(self, factor):
        """Set the factor of all cells; an extra method."""
        if self.y:
            raise RuntimeError("there are cells already")
        self.factor = factor

    def add(self, eid, value=0.0):
        """Add to the value of a cell; an extra method."""
        self.added[eid] = self.added.get(eid, 0.0) + value
        return f"{eid} has {self.added[eid]:g}"

    def create(self, num, model, scale=1.0):
        if self.fault == "no entity":
            return [{"name": "cell"}]
        eid = f"cell-{len(self.y)}"
        self.y[eid] = scale
        if self.fault == "same entity":
            eid = "cell-0"
        return [{"eid": eid, "type": model, "children": [{"eid": f"{eid}-child", "type": model, "rel": [eid]}]}]

    def step(self, time, inputs, max_advance):
        self.calls.append((time, {e: dict(a.get("x", {})) for e, a in inputs.items()}, max_advance))
        self.now, self.inputs = time, inputs
        if time >= self.at:
            self.fail()
        if self.fault in ("text", "float", "backwards"):
            return {"text": "later", "float": time + 0.5, "backwards": time}[self.fault]
        if self.fault == "ask":
            self.answer = yield self.mosaik.get_progress()
            self.graph = yield self.mosaik.get_related_entities()
        if self.fault == "ask data":
            yield self.mosaik.get_data({"other.bus": ["p"]})
        if self.fault == "send data":
            yield self.mosaik.set_data({"a.b": {"c.d": {"p": 1.0}}})
        return None if self.step_size is None else time + self.step_size

    def fail(self):
        match self.fault:
            case "raise":
                raise ZeroDivisionError("division by zero in a cell")
            case "exit":
                os.write(2, b"cells: no licence left\n")
                os._exit(7)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "hang":
                clock.sleep(600)

    def get_data(self, outputs):
        data: dict = {}
        if self.fault == "no data":
            return None
        if self.fault == "dated":
            data["time"] = self.now + 30
        for eid, names in outputs.items():
            received = self.inputs.get(eid, {}).get("x", {})
            y = self.factor * sum(received.values()) + self.now + self.added.get(eid, 0.0)
            values = {"y": y, "seen": float(len(self.calls))}
            if self.fault == "word":
                values["y"] = "much"
            if self.fault == "silent" and self.now >= self.at:
                values = {}
            data[eid] = {name: values[name] for name in names if name in values}
        return data

    def finalize(self):
        if self.fault == "farewell":
            pathlib.Path(os.environ["CELLS_FAREWELL"]).write_text("done")


if __name__ == "__main__":
    mosaik_api_v3.start_simulation(Cells(), configure_logging=False)
