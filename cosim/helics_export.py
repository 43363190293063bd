"""Adapters and scenarios as federates in anyone's federation of HELICS."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, overload

import numpy as np

from cosim.adapters.helics import HelicsFederation, Publication, Subscription
from cosim.adapters.helics.broker import check_address
from cosim.adapters.helics.federate import Federate
from cosim.core.adapter import Adapter, Step, inputs, outputs
from cosim.core.arguments import finite, shown
from cosim.core.errors import CosimError, PortError
from cosim.engine.hosts import perform_advance, perform_open
from cosim.engine.scenario import Scenario
from cosim.results.result import Result


class AdapterFederate:
    """One adapter as a federate, made by `as_helics`.

    Every output is published as a vector under ``name/port``, states also while the federation initializes. An input
    receives the publication that ``subscribe`` names, until its first value the initial one of ``initial`` or its
    default. The step [t, t+step) is made when time t+step is granted, with what was published until then, and its
    outputs are published at that time: a federate that waits for the current time to be settled has them in the same
    step, any other one step later.

    Parameters
    ----------
    adapter
        The adapter; a copy of it runs.
    name
        Name of the federate.
    subscribe
        Publications of others by input, as in ``{"load": "cosim/load"}``: vectors of as many values as the port has
        labels.
    initial
        Values of inputs until something is published for them.

    Raises
    ------
    CosimError
        If an input is unknown, or has neither a publication nor a default.
    """

    def __init__(
        self, adapter: Adapter, name: str, subscribe: Mapping[str, str], initial: Mapping[str, Any] | None = None
    ) -> None:
        self.adapter, self.name = copy.deepcopy(adapter), name
        self._inputs, self._outputs = inputs(self.adapter), outputs(self.adapter)
        initial = dict(initial or {})
        for port in [*subscribe, *initial]:
            if port not in self._inputs:
                raise PortError(f"{port} is not an input; available: {', '.join(self._inputs) or 'none'}")
        for port, declared in self._inputs.items():
            if port not in subscribe and declared.default is None:
                raise PortError(f"{port} has no default: name a publication for it in subscribe=")
        self._receives = {
            port: Subscription(key, self._inputs[port].unit, self._inputs[port].labels, "mean",
                               initial.get(port, self._inputs[port].default), "begin")
            for port, key in subscribe.items()
        }  # fmt: skip
        self._sends = {
            port: Publication(f"{name}/{port}", output.unit, output.labels) for port, output in self._outputs.items()
        }

    def run(
        self,
        broker: str,
        *,
        step_s: float,
        until_s: float,
        core_type: str = "zmq",
        timeout_s: float = 60.0,
        allow_remote: bool = False,
    ) -> None:
        """Join a federation and step the adapter to the end.

        Parameters
        ----------
        broker
            Address of the broker.
        step_s, until_s
            Length of the adapter's steps, and the end. [s]
        core_type, timeout_s, allow_remote
            As for `HelicsFederation`.

        Raises
        ------
        CosimError
            If the federation cannot be joined, ends early or does not answer, or the adapter fails; the federation is
            then told.
        """
        if not 0 < finite(step_s, "step_s") <= finite(until_s, "until_s"):
            raise CosimError(
                f"step_s is {step_s:g} and until_s {until_s:g}: they must be positive, a step at most the end"
            )
        steps = round(until_s / step_s)
        if abs(steps * step_s - until_s) > 1e-9 * until_s:
            raise CosimError(f"until_s is {until_s:g}: it must be a whole number of steps of {step_s:g} s")
        check_address(broker, allow_remote)
        federate = Federate(
            self.name, broker, self._sends, self._receives, core_type=core_type, timeout_s=timeout_s, last=False
        )
        try:
            with tempfile.TemporaryDirectory(prefix="cosim-helics-") as folder:
                self.adapter.folder = Path(folder)
                self._run(federate, step_s, steps)
        except BaseException as error:
            federate.fail(str(error))
            raise
        finally:
            self.adapter.close()
            federate.close()

    def _run(self, federate: Federate, step_s: float, steps: int) -> None:
        first = perform_open(self.adapter).outputs
        federate.initialize()
        federate.publish(first)
        federate.execute()
        for k in range(steps):
            step = Step(k * step_s, step_s)
            federate.advance(step.end_s)
            received = {}
            for port, declared in self._inputs.items():
                if port not in self._receives:
                    received[port] = np.asarray(declared.default)
                    continue
                if not federate.heard(port) and self._receives[port].initial is None:
                    raise CosimError(
                        f"{port}: nothing was published for it until {step.end_s:g} s: pass it in initial="
                    )
                received[port] = federate.read(port, step.start_s)
            federate.publish(perform_advance(self.adapter, step, received).outputs)


class ScenarioFederate:
    """One scenario as a federate, made by `as_helics`.

    The scenario runs as it always does, with `HelicsFederation` among its adapters under the name ``federation``: its
    clock waits for the federation's, and all that is said there of a live federation's time holds.

    Parameters
    ----------
    scenario
        The scenario, which gets the adapter when it is run.
    name
        Name of the federate.
    publish
        Outputs to publish, by key: ``{"city/load": "grid.grid_import"}``.
    subscribe
        Publications by input: ``{"buildings.price": "market/price"}``. Values reach the input one exchange step after
        they are published.
    initial
        Values of these inputs at first, by input.
    """

    def __init__(
        self,
        scenario: Scenario,
        name: str,
        publish: Mapping[str, str],
        subscribe: Mapping[str, str],
        initial: Mapping[str, Any] | None = None,
    ) -> None:
        if not (publish or subscribe):
            raise CosimError("as_helics exchanges nothing: name outputs in publish= or inputs in subscribe=")
        self.scenario, self.name = scenario, name
        self._publish, self._subscribe, self._initial = dict(publish), dict(subscribe), dict(initial or {})
        self._named_outputs = {key: _port(scenario.outputs(), output) for key, output in publish.items()}
        known = {f"{a}.{p}": port for a, adapter in scenario.adapters.items() for p, port in inputs(adapter).items()}
        self._named_inputs = {target: _port(known, target) for target in subscribe}
        for target in self._initial:
            if target not in subscribe:
                raise CosimError(f"initial names {target!r}, for which subscribe has no publication")
        if missing := [target for target in subscribe if target not in self._initial]:
            raise CosimError(f"{missing[0]} has no value for the first step: pass it in initial=")

    def run(
        self,
        broker: str,
        out: str | Path | None = None,
        *,
        core_type: str = "zmq",
        timeout_s: float = 60.0,
        allow_remote: bool = False,
        **options: Any,
    ) -> Result:
        """Join a federation and run the scenario in it.

        Parameters
        ----------
        broker
            Address of the broker.
        out, options
            As for `Scenario.run`.
        core_type, timeout_s, allow_remote
            As for `HelicsFederation`.

        Raises
        ------
        CosimError
            As `Scenario.run`, and if the federation cannot be joined, ends early or does not answer.
        """
        made = {f"to_{k}": (key, port) for k, (key, port) in enumerate(self._named_outputs.items())}
        taken = {f"from_{k}": (target, port) for k, (target, port) in enumerate(self._named_inputs.items())}
        federation = HelicsFederation(
            inputs={name: Publication(key, port.unit, port.labels) for name, (key, port) in made.items()},
            outputs={
                name: Subscription(self._subscribe[target], port.unit, port.labels, "mean", self._initial[target])
                for name, (target, port) in taken.items()
            },
            broker=broker,
            name=self.name,
            core_type=core_type,
            timeout_s=timeout_s,
            allow_remote=allow_remote,
        )
        scenario = copy.copy(self.scenario)
        scenario.adapters, scenario.steps = dict(scenario.adapters), dict(scenario.steps)
        scenario.connections = list(scenario.connections)
        scenario.add(federation=federation)
        for name, (key, _) in made.items():
            scenario.connect(self._publish[key], f"federation.{name}")
        for name, (target, _) in taken.items():
            scenario.connect(f"federation.{name}", target, delay=1, initial=self._initial[target])
        return scenario.run(out, **options)


def _port(known: Mapping[str, Any], name: str) -> Any:
    if name not in known:
        raise PortError(f"unknown port {name!r}; available: {', '.join(known) or 'none'}")
    return known[name]


@overload
def as_helics(
    what: Adapter, name: str = ..., *, subscribe: Mapping[str, str] = ..., initial: Mapping[str, Any] | None = ...
) -> AdapterFederate: ...


@overload
def as_helics(
    what: Scenario,
    name: str = ...,
    *,
    publish: Mapping[str, str] = ...,
    subscribe: Mapping[str, str] = ...,
    initial: Mapping[str, Any] | None = ...,
) -> ScenarioFederate: ...


def as_helics(
    what: Adapter | Scenario,
    name: str = "cosim",
    *,
    publish: Mapping[str, str] | None = None,
    subscribe: Mapping[str, str] | None = None,
    initial: Mapping[str, Any] | None = None,
) -> AdapterFederate | ScenarioFederate:
    """Return an adapter or a scenario as a federate, whose ``run(broker, …)`` joins a federation of HELICS.

    Parameters
    ----------
    what
        The adapter or scenario.
    name
        Name of the federate; an adapter's publications are ``name/port``.
    publish
        Of a scenario: outputs by the key under which they are published.
    subscribe
        Keys of others' publications by input.
    initial
        Values of these inputs until something is published.

    Raises
    ------
    CosimError
        If the argument is neither, or a port is unknown or without a value.

    Examples
    --------
    ``as_helics(Grid(net), "grid", subscribe={"power": "city/load"}).run("tcp://127.0.0.1:23404", step_s=300,
    until_s=86400)``.
    """
    if isinstance(what, Adapter):
        if publish:
            raise CosimError("publish= is for scenarios: an adapter publishes every output under name/port")
        return AdapterFederate(what, name, subscribe or {}, initial)
    if isinstance(what, Scenario):
        return ScenarioFederate(what, name, publish or {}, subscribe or {}, initial)
    raise CosimError(f"as_helics got {shown(what)}: pass an adapter or a scenario, as in as_helics(Grid(...))")
