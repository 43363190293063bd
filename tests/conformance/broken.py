"""A correct adapter, and for each rule of the contract one that violates it in a typical way."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import numpy as np

from cosim import Adapter, CosimError, Input, Output


class Battery(Adapter):
    """Batteries behind a meter. Charging draws positive power."""

    step_tolerance = 1e-9

    def __init__(self, labels=("a", "b"), capacity_j=3.6e6):
        self.setpoint = Input("W", labels)
        self.share = Input("1", labels, default=1.0)
        self.power = Output("W", labels, kind="mean")
        self.energy = Output("J", labels, kind="end")
        self.capacity_j = capacity_j

    def open(self):
        self.energy.value = 0.5 * self.capacity_j

    def advance(self, step):
        energy = self.energy.value + self.setpoint.value * self.share.value * step.length_s
        energy = np.clip(energy, 0.0, self.capacity_j)
        self.power.value = (energy - self.energy.value) / step.length_s
        self.energy.value = energy

    def save(self, folder):
        np.save(folder / "energy.npy", self.energy.value)

    def load(self, folder):
        self.energy.value = np.load(folder / "energy.npy", allow_pickle=False)


class Replayed(Battery):
    save, load = Adapter.save, Adapter.load
    replays = True


class Listener(Adapter):
    """Logs what it receives. Consumption is positive."""

    replays = True

    def __init__(self):
        self.power = Input("W", ["a", "b"])

    def advance(self, step):
        with (self.folder / "received.txt").open("a") as file:
            print(*self.power.value, file=file)


class Hangs(Battery):
    def advance(self, step):
        threading.Event().wait()


class Crashes(Battery):
    def open(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class NeedsArgument(Battery):
    def __init__(self, labels):
        super().__init__(labels)


class RefusesArguments(Battery):
    def __init__(self):
        raise CosimError("capacity_j is -1: it must be positive")


class OtherDatasheetEachTime(Battery):
    count = 0

    def __init__(self):
        OtherDatasheetEachTime.count += 1
        super().__init__([f"battery {self.count}"])


class NoPorts(Adapter):
    """Keeps its ports in a list. Charging is positive."""

    def __init__(self):
        self.ports = [Output("W", ["a"], "mean")]

    def advance(self, step):
        self.ports[0].value = 0.0


class InKilowatts(Battery):
    def __init__(self):
        super().__init__()
        self.limit = Input("kW", ["a"], default=1.0)


class NoDocstring(Adapter):
    def __init__(self):
        self.level = Output("1", ["a"], "end")

    def open(self):
        self.level.value = 0.0

    def advance(self, step):
        self.level.value = 1.0


class NoSign(NoDocstring):
    """Heats."""

    def __init__(self):
        super().__init__()
        self.power = Output("W", ["a"], "mean")

    def advance(self, step):
        super().advance(step)
        self.power.value = 1.0


class NowhereToRun(Battery):
    placement = "cloud"


class LostFile(Battery):
    files = ("/nowhere/labels.csv",)


class VersionUnknown(Battery):
    def versions(self):
        return {"solver": self.solver.version}


class VersionIsNumber(Battery):
    def versions(self):
        return {"solver": 2}


class StartsThread(Battery):
    def __init__(self):
        super().__init__()
        self.stop = threading.Event()
        threading.Thread(target=self.stop.wait, name="listener", daemon=True).start()

    def close(self):
        self.stop.set()


class StartsProcess(Battery):
    def __init__(self):
        super().__init__()
        self.child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)

    def close(self):
        self.child.communicate()

    __del__ = close  # for those that are built and never run


class OpensSocket(Battery):
    def __init__(self):
        super().__init__()
        self.server = socket.socket()

    def close(self):
        self.server.close()

    __del__ = close  # for those that are built and never run


class OpensFile(Battery):
    def __init__(self):
        super().__init__()
        self.table = open(__file__)  # noqa: SIM115

    def close(self):
        self.table.close()

    __del__ = close  # for those that are built and never run


class HoldsLock(Battery):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()


class LosesPort(Battery):
    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != "share"}


class Lenient(Input):
    def deliver(self, value):
        self._value = np.nan_to_num(np.resize(value, len(self)))


class TakesAnything(Battery):
    def __init__(self):
        super().__init__()
        self.share = Lenient("1", ["a", "b"], default=1.0)


class CannotOpen(Battery):
    def open(self):
        raise FileNotFoundError("model.fmu")


class ReadsInputsInOpen(Battery):
    def open(self):
        self.energy.value = self.setpoint.value


class ClosesOnlyWhatIsOpen(Battery):
    def open(self):
        super().open()
        self.child = object()

    def close(self):
        del self.child


class ClosesOnce(Battery):
    def __init__(self):
        super().__init__()
        self.running = None

    def open(self):
        super().open()
        self.running = True

    def close(self):
        if self.running is False:
            raise RuntimeError("not running")
        self.running = False if self.running else None


class FailsToClose(Battery):
    def __init__(self):
        super().__init__()
        self.begun = False

    def advance(self, step):
        super().advance(step)
        self.begun = True

    def close(self):
        if self.begun:
            raise OSError("no such process")


class Raises(Battery):
    def advance(self, step):
        raise ZeroDivisionError("division by zero")


class Exits(Battery):
    def advance(self, step):
        sys.exit(0)


class Forgets(Battery):
    def advance(self, step):
        if step.start_s < 120:
            super().advance(step)
        else:
            self.power.value = 0.0


class PublishesNan(Battery):
    def advance(self, step):
        super().advance(step)
        self.power.value = [0.0, np.nan]


class PublishesWrongShape(Battery):
    def advance(self, step):
        super().advance(step)
        self.power.value = np.zeros(3)


class WritesIntoInput(Battery):
    def advance(self, step):
        self.setpoint.value[:] = 0.0
        super().advance(step)


class DefaultsNeedMore(Battery):
    def __init__(self):
        super().__init__()
        self.tariffs = Input("EUR/J", ["day"], default=0.0)
        self.received = 0

    def advance(self, step):
        self.received += self.tariffs.value is not self.tariffs.default
        1 / self.received
        super().advance(step)


class StateUnknown(Battery):
    def __init__(self):
        super().__init__()
        self.level = Output("1", ["a"], "end")

    def advance(self, step):
        super().advance(step)
        self.level.value = 1.0


class EarlyMean(Battery):
    def open(self):
        super().open()
        self.power.value = 0.0


class LatePort(Battery):
    def open(self):
        super().open()
        self.late = Output("W", ["a"], "mean")

    def advance(self, step):
        super().advance(step)
        self.late.value = 0.0


class ForcesInput(Battery):
    def advance(self, step):
        value = self.setpoint.value
        super().advance(step)
        value.flags.writeable = True
        value *= 0.5


class KeepsInput(Battery):
    """Changes what it received a step earlier. Charging is positive."""

    def __init__(self):
        super().__init__()
        self.last = None

    def advance(self, step):
        if self.last is not None:
            self.last.flags.writeable = True
            self.last += 1.0
        self.last = self.setpoint.value
        super().advance(step)


class Random(Battery):
    def advance(self, step):
        super().advance(step)
        self.power.value = self.power.value * np.random.default_rng().random()


class ReportsClock(Battery):
    def advance(self, step):
        super().advance(step)
        self.report("received", "a", os.urandom(8).hex())


class NeverResets(Battery):
    def __init__(self):
        super().__init__()
        self.age = 0

    def advance(self, step):
        super().advance(step)
        self.age += 1
        self.power.value = self.power.value * 0.9**self.age


class LeavesThread(Battery):
    def open(self):
        super().open()
        self.stop = threading.Event()
        threading.Thread(target=self.stop.wait, args=(30,), name="solver", daemon=True).start()


class Swallows(Battery):
    def advance(self, step):
        try:
            super().advance(step)
        except CosimError:
            for port in (self.power, self.energy):
                port.assigned = True


class CannotCloseAfterFailure(Battery):
    def __init__(self):
        super().__init__()
        self.stepping = False

    def advance(self, step):
        self.stepping = True
        super().advance(step)
        self.stepping = False

    def close(self):
        if self.stepping:
            raise RuntimeError("still stepping")


class LeavesThreadAfterFailure(Battery):
    def __init__(self):
        super().__init__()
        self.stop = threading.Event()

    def __getstate__(self):
        return vars(self) | {"stop": None}

    def advance(self, step):
        thread = threading.Thread(target=self.stop.wait, args=(30,), name="solver", daemon=True)
        thread.start()
        super().advance(step)
        self.stop.set()
        thread.join()
        self.stop.clear()


class Poisons(Battery):
    scale = 1.0

    def advance(self, step):
        scale, Poisons.scale = Poisons.scale, 0.5
        super().advance(step)
        self.power.value = self.power.value * scale
        Poisons.scale = 1.0


class OnlySaves(Battery):
    load = Adapter.load


class SavesTooLittle(Battery):
    def __init__(self):
        super().__init__()
        self.age = 0

    def open(self):
        super().open()
        self.age = 0

    def advance(self, step):
        super().advance(step)
        self.age += 1
        self.power.value = self.power.value * 0.9**self.age


class CannotSave(Battery):
    def save(self, folder):
        (folder / "sub" / "energy.txt").write_text("1")


class ChangesWhenSaved(Battery):
    def save(self, folder):
        super().save(folder)
        self.energy.value = 0.0


class ReplaysInTheSameFolder(Replayed):
    """Depends on files left by an earlier run. Charging is positive."""

    def open(self):
        super().open()
        self.log = self.folder / "log.txt"
        self.begun = self.log.exists()
        self.log.touch()

    def advance(self, step):
        super().advance(step)
        self.power.value = self.power.value + self.begun


class DependsOnStep(Battery):
    """Loses charge by an explicit Euler step. Charging is positive."""

    def advance(self, step):
        super().advance(step)
        self.energy.value = self.energy.value * (1 - step.length_s * 1e-3)


class DependsOnPlace(Battery):
    def advance(self, step):
        super().advance(step)
        self.power.value = self.power.value + ("cosim._worker" in " ".join(sys.orig_argv))


class NotInWorker(Battery):
    def open(self):
        super().open()
        if "cosim._worker" in sys.orig_argv:
            raise RuntimeError("no display")
