"""Federates for tests: written in plain HELICS, or an adapter of ours; started as ``python helics_federates.py …``.

``plain BROKER BEHAVIOUR STEPS``: subscribes ``cosim/load`` and publishes its double as ``plain/double`` every 60 s.
``ours BROKER ADAPTER STEPS KEY``: one of the toys as a federate, its first input fed from KEY.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def plain(broker: str, behaviour: str, steps: str) -> None:
    import helics as h

    info = h.helicsCreateFederateInfo()
    h.helicsFederateInfoSetCoreTypeFromString(info, "zmq")
    h.helicsFederateInfoSetCoreInitString(info, f"--federates=1 --broker_address={broker}")
    federate = h.helicsCreateCombinationFederate("plain", info)
    unit = {"kilowatt": "kW", "volt": "V", "no unit": ""}.get(behaviour, "W")
    double = h.helicsFederateRegisterGlobalPublication(federate, "plain/double", h.HELICS_DATA_TYPE_VECTOR, unit)
    single = h.helicsFederateRegisterGlobalPublication(federate, "plain/single", h.HELICS_DATA_TYPE_DOUBLE, "degC")
    box = h.helicsFederateRegisterGlobalEndpoint(federate, "plain/box", "")
    load = h.helicsFederateRegisterSubscription(federate, "cosim/load", "")
    h.helicsFederateEnterInitializingMode(federate)
    if behaviour != "late":
        h.helicsPublicationPublishVector(double, [-1.0, -2.0])
        h.helicsPublicationPublishDouble(single, 20.0)
    h.helicsFederateEnterExecutingMode(federate)
    every = 20.0 if behaviour == "fine" else 60.0
    granted = 0.0
    while granted < float(steps) * 60.0:
        wanted = granted + every
        while granted < wanted:
            granted = h.helicsFederateRequestTime(federate, wanted)
        if granted >= 120.0:
            match behaviour:
                case "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                case "raise":
                    raise ValueError("the transformer burnt")
                case "global error":
                    h.helicsFederateGlobalError(federate, 7, "the grid is gone")
                    sys.exit(3)
                case "leave":
                    break
                case "hang":
                    time.sleep(600)
        values = h.helicsInputGetVector(load)
        messages = [h.helicsMessageGetString(h.helicsEndpointGetMessage(box)) for _ in
                    range(h.helicsEndpointPendingMessageCount(box))]  # fmt: skip
        if behaviour == "fine":
            values = [granted, granted]
        if behaviour == "wrong length":
            values = [1.0, 2.0, 3.0]
        if behaviour == "not a number":
            values = [float("nan"), 1.0]
        h.helicsPublicationPublishVector(double, [2.0 * value for value in values])
        h.helicsPublicationPublishDouble(single, 20.0 + granted / 60.0)
        for text in messages:
            answer = "[1, " if behaviour == "malformed" else json.dumps([value + 1 for value in json.loads(text)])
            h.helicsEndpointSendStringTo(box, answer, "cosim/answers")
    h.helicsFederateDisconnect(federate)


def ours(broker: str, adapter: str, steps: str, key: str) -> None:
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from cosim import as_helics
    from tests.support import toys

    made = getattr(toys, adapter)()
    subscribe = {"feedback" if adapter == "Source" else "load": key}
    as_helics(made, "ours", subscribe=subscribe).run(broker, step_s=60, until_s=60.0 * float(steps))


if __name__ == "__main__":
    {"plain": plain, "ours": ours}[sys.argv[1]](*sys.argv[2:])
