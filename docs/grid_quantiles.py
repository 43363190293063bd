"""Writes scenarios/validation/grid_quantiles.csv from real low-voltage grids; reading the workbook needs openpyxl.

python docs/grid_quantiles.py lv_feeders_uk_es_nl.xlsx net_*.json

The workbook has 160 Spanish feeders and 28 networks of Eindhoven; the JSON files are Kerber's type grids, whose loads
are those of their peak.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import pandapower as pp
import pandas as pd

HEAD = """\
# Quantiles of real low-voltage grids, made by docs/grid_quantiles.py. Spain: 160 feeders, Netherlands: 28 networks of
# Eindhoven (Representative distribution networks). Kerber: seven type grids of Bavaria at their peak load (G. Kerber,
# Aufnahmefähigkeit von Niederspannungsverteilnetzen für die Einspeisung aus Photovoltaikkleinanlagen, 2011).
"""
SHARES = (0.1, 0.25, 0.5, 0.75, 0.9)
TARGET = Path(__file__).parent.parent / "scenarios" / "validation" / "grid_quantiles.csv"


def measured(workbook, files):
    """Yield quantity, unit, source and values."""
    spain = pd.read_excel(workbook, sheet_name="SpanishFeature")
    spain = spain[spain["fdr"].notna()]  # the last row holds sums
    supplied = spain[spain["number of load"] > 0]
    dutch = pd.read_excel(workbook, sheet_name="Sheet1")
    yield "customers per feeder", "1", "Spain", supplied["number of load"]
    yield "length of a feeder", "m", "Spain", spain["feeder_length"]
    yield "cable per customer of a feeder", "m", "Spain", supplied["Length/Consumer"]
    yield "transformer rating", "kVA", "Spain", spain["S_kVA_tr"]
    yield "transformer rating", "kVA", "Netherlands", dutch["S_kVA_tr"] / 1e3
    yield "customers per station", "1", "Netherlands", dutch["n_loads"]
    yield "cables of a station", "m", "Netherlands", dutch["feeder_length"] * 1e3
    nets = [pp.from_json(file) for file in files]
    for net in nets:
        pp.runpp(net, numba=False)
    load = [net.res_load.p_mw.sum() for net in nets]
    lost = [net.res_line.pl_mw.sum() + net.res_trafo.pl_mw.sum() for net in nets]
    yield "peak utilisation of a transformer", "%", "Kerber", [net.res_trafo.loading_percent.max() for net in nets]
    yield "losses at peak", "%", "Kerber", 100 * np.divide(lost, np.add(load, lost))


def main():
    """Write the table; arguments are the workbook and the type grids."""
    with TARGET.open("w", encoding="utf-8", newline="") as file:
        file.write(HEAD)
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["quantity", "unit", "source", "n", *(f"p{100 * share:.0f}" for share in SHARES)])
        for quantity, unit, source, values in measured(sys.argv[1], sys.argv[2:]):
            found = np.quantile(np.asarray(values, float), SHARES)
            writer.writerow([quantity, unit, source, len(values), *(f"{x:.3g}" for x in found)])


if __name__ == "__main__":
    main()
