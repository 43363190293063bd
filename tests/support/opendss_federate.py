"""A grid in OpenDSS as a federate of HELICS: two houses on one cable, power in, voltages out."""

import sys

import helics as h
import opendssdirect as dss

HOUSES = ["house 1", "house 2"]


def main(broker: str, hours: str) -> None:
    dss.Text.Command("clear")
    dss.Text.Command("new circuit.street basekv=0.4 pu=1.0 phases=3 mvasc3=1e6 mvasc1=1e6")
    for k, house in enumerate(HOUSES, 1):
        dss.Text.Command(
            f"new line.cable{k} bus1={'sourcebus' if k == 1 else 'house1'} bus2=house{k} phases=3 length=0.2 units=km "
            "r1=0.2067 x1=0.0804 r0=0.8 x0=0.3 c1=0 c0=0"
        )
        dss.Text.Command(f"new load.{house.replace(' ', '')} bus1=house{k} phases=3 kv=0.4 kw=0 kvar=0 model=1")
    dss.Text.Command("set voltagebases=[0.4]")
    dss.Text.Command("calcvoltagebases")

    info = h.helicsCreateFederateInfo()
    h.helicsFederateInfoSetCoreTypeFromString(info, "zmq")
    h.helicsFederateInfoSetCoreInitString(info, f"--federates=1 --broker_address={broker}")
    grid = h.helicsCreateValueFederate("opendss", info)
    voltage = h.helicsFederateRegisterGlobalPublication(grid, "grid/voltage", h.HELICS_DATA_TYPE_VECTOR, "V")
    power = h.helicsFederateRegisterSubscription(grid, "city/power", "")

    def solve(watts: list[float]) -> list[float]:
        for house, watt in zip(HOUSES, watts, strict=True):
            dss.Loads.Name(house.replace(" ", ""))
            dss.Loads.kW(watt * 1e-3)
            dss.Loads.kvar(0.0)
        dss.Solution.Solve()
        return [dss.Bus.puVmagAngle()[0] * 400.0 for bus in ("house1", "house2") if dss.Circuit.SetActiveBus(bus) >= 0]

    h.helicsFederateEnterInitializingMode(grid)
    h.helicsPublicationPublishVector(voltage, solve([0.0, 0.0]))
    h.helicsFederateEnterExecutingMode(grid)
    for quarter in range(1, round(float(hours) * 4) + 1):
        while h.helicsFederateRequestTime(grid, quarter * 900.0) < quarter * 900.0:
            pass
        h.helicsPublicationPublishVector(voltage, solve(h.helicsInputGetVector(power)))
    h.helicsFederateDisconnect(grid)


if __name__ == "__main__":
    main(*sys.argv[1:])
