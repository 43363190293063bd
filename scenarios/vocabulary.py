"""What standards call the quantities of a city's sectors: CF standard names, and entities of the Smart Data Models.

Standard names are those of version 93 of the CF conventions' table, entity types and attributes those of the Smart Data
Models as packaged by pysmartdatamodels 0.8.2; the tests check both. Codes are the common codes of UN/CEFACT's
Recommendation 20 (revision 17, as in github.com/datasets/unece-units-of-measure).
"""

from __future__ import annotations

from typing import Literal

from cosim.exports.vocabulary import EntityType, Term, Vocabulary


def _air(name: str, attribute: str) -> Term:
    return Term(standard_name=name, entity="AirQualityObserved", attribute=attribute, unit="ug/m**3", code="GQ")


def _power(entity: str, attribute: str) -> Term:
    return Term(entity=entity, attribute=attribute, unit="W", code="WTT")


def _weather(name: str, attribute: str, unit: str, code: str, label: str = "") -> Term:
    return Term(
        standard_name=name,
        entity="WeatherObserved",
        attribute=attribute,
        unit=unit,
        code=code,
        label=label,
        whole=True,
    )


_POINT_IN_TIME: dict[str, Literal["start", "end", "interval"]] = {"dateObserved": "end"}
_INTERVAL: dict[str, Literal["start", "end", "interval"]] = {
    "dateObserved": "interval",
    "dateObservedFrom": "start",
    "dateObservedTo": "end",
}

VOCABULARY = Vocabulary(
    {
        "weather.temperature": _weather("air_temperature", "temperature", "degC", "CEL"),
        "weather.humidity": _weather("relative_humidity", "relativeHumidity", "1", "C62"),
        "weather.wind_speed": _weather("wind_speed", "windSpeed", "m/s", "MTS"),
        # on planes of several directions, of which the standard name knows the horizontal one alone
        "weather.irradiance": _weather("", "solarRadiation", "W/m**2", "D54", "horizontal"),
        "weather.ground_temperature": Term(standard_name="soil_temperature", whole=True),
        "traffic.flow": Term(
            entity="TrafficFlowObserved", attribute="intensity", unit="vehicle", code="C62", total=True
        ),
        "traffic.speed": Term(entity="TrafficFlowObserved", attribute="averageVehicleSpeed", unit="km/h", code="KMH"),
        "buildings.persons": Term(entity="Building", attribute="peopleOccupancy", unit="person", code="C62"),
        # attributes beyond the model, which has none for what a building consumes
        "buildings.indoor_temperature": Term(
            entity="BuildingOperation", attribute="indoorTemperature", unit="degC", code="CEL"
        ),
        "buildings.heat_pump_power": _power("BuildingOperation", "heatPumpPower"),
        "buildings.gas_power": _power("BuildingOperation", "gasPower"),
        "buildings.electric_power": _power("ACMeasurement", "totalActivePower"),
        "buildings.reactive_power": Term(
            entity="ACMeasurement", attribute="totalReactivePower", unit="var", code="D44"
        ),
        "premises.electric_power": _power("ACMeasurement", "totalActivePower"),
        "premises.reactive_power": Term(entity="ACMeasurement", attribute="totalReactivePower", unit="var", code="D44"),
        "fleet.charging_power": _power("EVChargingStation", "powerConsumption"),
        "traffic.charging_power": _power("EVChargingStation", "powerConsumption"),
        "environment.no2": _air("mass_concentration_of_nitrogen_dioxide_in_air", "no2"),
        "environment.o3": _air("mass_concentration_of_ozone_in_air", "o3"),
        "environment.pm10": _air("mass_concentration_of_pm10_ambient_aerosol_particles_in_air", "pm10"),
        "environment.pm25": _air("mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air", "pm25"),
        "environment.total_nox": _air("", "nox"),
        "environment.noise": Term(
            entity="NoiseLevelObserved",
            attribute="LAeq",
            unit="dB",
            code="2N",
            udunits="0.1 lg(re 4e-10 Pa2)",  # decibels above the square of 20 µPa
        ),
    },
    {
        "TrafficFlowObserved": EntityType(subject="dataModel.Transportation", times=_INTERVAL),
        "EVChargingStation": EntityType(
            subject="dataModel.Transportation",
            times={"observationDateTime": "end", "startDateTime": "start", "endDateTime": "end"},
            fixed={"socketType": ["Other"], "allowedVehicleType": ["car"]},
            properties={"points": "capacity"},
        ),
        "Building": EntityType(
            subject="dataModel.Building", times={}, fixed={"category": ["residential"]}, addressed=True
        ),
        "BuildingOperation": EntityType(
            subject="dataModel.Building",
            times={"startDate": "start", "endDate": "end", "dateStarted": "start", "dateFinished": "end"},
            fixed={"operationType": "simulated operation", "status": "finished", "result": "ok"},
            refers_to=("refBuilding", "Building"),
            located=False,
        ),
        "ACMeasurement": EntityType(
            subject="dataModel.Energy",
            times={"dateObserved": "end", "dateObservedFrom": "start", "dateObservedTo": "end"},
            fixed={"phaseType": "threePhase"},
        ),
        "WeatherObserved": EntityType(subject="dataModel.Weather", times=_POINT_IN_TIME),
        "AirQualityObserved": EntityType(subject="dataModel.Environment", times=_POINT_IN_TIME),
        "NoiseLevelObserved": EntityType(subject="dataModel.Environment", times=_INTERVAL),
    },
)
"""Terms and types of the sectors in this package."""
