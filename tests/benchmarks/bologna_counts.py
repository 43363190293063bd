"""Which method makes Bologna's day from counts, and do its streets carry it? One JSON line.

``python -m tests.benchmarks.bologna_counts [folds] [methods] [day] [streets] [CITY]`` without words does the first two.
``methods`` compares, on fitted and held-out loops of the scenario joined, the scenario's own hour scaled to the
counts, the estimate of `path_flows` at other parameters, and SUMO's routeSampler: optimized (linear programming between
all counts), and drawing routes by their number in the scenario. ``day`` drives the day by the microscopic model and
compares the vehicles on every counted edge with the counts and the demand. It takes some ten minutes of CPU. With the
folder of a city, ``day`` is the day of that city, by the mesoscopic model. A word such as ``10h`` ends it at that hour.
``streets CITY`` prints how many streets of a city are full by the estimate, and what remains within their capacity.
"""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from xml.sax.saxutils import quoteattr

import defusedxml.ElementTree
import numpy as np

from cosim.adapters.traffic.files import read_configuration
from cosim.adapters.traffic.installation import run_sumo_script, sumo_binary, sumo_environment
from cosim.core.random import uniform
from cosim.scenarios.mobility.counts import path_flows as estimator
from cosim.scenarios.mobility.counts.capacity import SATURATED, capacities, passing
from cosim.scenarios.mobility.counts.day import counted_day, day_flows, read_scenario
from cosim.scenarios.mobility.counts.greens import OPTIONS
from cosim.scenarios.mobility.counts.loops import HOURS
from cosim.scenarios.mobility.counts.path_flows import geh
from cosim.scenarios.parts import MESOSCOPIC
from cosim.scenarios.places.folder import TRAFFIC
from cosim.scenarios.streets.network import read_net
from cosim.scenarios.validation.counts import ACCEPTED_GEH, Fit, agreement
from tests.support.paths import BOLOGNA, DATA

SUMOCFG = BOLOGNA / "joined" / "run.sumocfg"
LOOPS = DATA / "counts" / "bologna_loops_2024-02-01.csv"
SAMPLER = {"routeSampler, optimized": ["--optimize", "full"], "routeSampler, weighted": ["--weighted"]}
PARAMETERS = [("PRIOR_CV", 2.0), ("PRIOR_CV", 5.5), ("MODEL_CV", 0.17), ("MODEL_CV", 0.35), ("DOUBTED_GEH", 1e9)]


def sampled(pool, edges, counts, options, folder):
    """Return the volumes on edges of a day by routeSampler, shape (n_edges, 24), from the counts of some of them."""
    routes = folder / "routes.rou.xml"
    given = [
        f'<route id="{k}.{i}" edges={quoteattr(" ".join(route))}/>'
        for k, (route, vehicles) in enumerate(pool.routes.items())
        for i in range(len(vehicles))
    ]
    routes.write_text("\n".join(["<routes>", *given, "</routes>"]))
    intervals = []
    for hour in range(HOURS):
        intervals.append(f'<interval id="c" begin="{3600 * hour}" end="{3600 * hour + 3600}">')
        intervals += [f'<edge id={quoteattr(edge)} entered="{row[hour]:.0f}"/>' for edge, row in counts.items()]
        intervals.append("</interval>")
    (folder / "counts.xml").write_text("\n".join(["<data>", *intervals, "</data>"]))
    out = folder / "sampled.rou.xml"
    run_sumo_script(
        "routeSampler.py",
        "-r",
        routes,
        "-d",
        folder / "counts.xml",
        "-o",
        out,
        "-s",
        "0",
        *options,
        cwd=folder,
        timeout_s=1800,
    )
    volume, place = np.zeros((len(edges), HOURS)), {edge: k for k, edge in enumerate(edges)}
    for _, element in defusedxml.ElementTree.iterparse(out):
        if element.tag == "vehicle":
            hour = int(float(element.get("depart")) // 3600)
            for edge in element.find("route").get("edges").split():
                if edge in place:
                    volume[place[edge], hour] += 1
    return volume


def figures(volume, located):
    """Return the agreement of volumes with the counts on all edges and those of two lanes or more."""
    return {
        "all": Fit.of(volume, located.flow).row(),
        "wide": Fit.of(volume[located.wide], located.flow[located.wide]).row(),
    }


def methods(folds, folder):
    """Return the agreement of every method on fitted and held-out loops."""
    found = agreement(SUMOCFG, LOOPS, folds)
    located = found.counts
    rows = {"scenario scaled": {"held out": figures(found.prior, located)}}
    rows["path_flows"] = {
        "fitted": figures(found.fitted, located),
        "held out": figures(found.held_out, located),
        "held out, other folds": [figures(agreement(SUMOCFG, LOOPS, folds, s).held_out, located) for s in range(1, 6)],
    }
    for name, value in PARAMETERS:
        usual = getattr(estimator, name)
        setattr(estimator, name, value)
        other = agreement(SUMOCFG, LOOPS, folds)
        setattr(estimator, name, usual)
        rows[f"{name} {value:g}"] = {
            "fitted": figures(other.fitted, located),
            "held out": figures(other.held_out, located),
        }
    _, _, pool, _ = read_scenario(SUMOCFG, LOOPS, folder)
    drawn = np.argsort(uniform(0, "fold of counts", located.edges), kind="stable")
    fold = np.empty(len(drawn), int)
    fold[drawn] = np.arange(len(drawn)) % folds
    for name, options in SAMPLER.items():
        counts = dict(zip(located.edges, located.flow))
        began = time.perf_counter()
        fitted = sampled(pool, located.edges, counts, options, folder)
        took = time.perf_counter() - began
        outside = np.empty(located.flow.shape)
        for k in range(folds):
            kept = {edge: counts[edge] for edge, f in zip(located.edges, fold) if f != k}
            outside[fold == k] = sampled(pool, located.edges, kept, options, folder)[fold == k]
        rows[name] = {
            "fitted": figures(fitted, located),
            "held out": figures(outside, located),
            "seconds of one fit": round(took, 1),
        }
    return rows


def day(folder, sumocfg=SUMOCFG, options=(), *, greens=False, hours=HOURS):
    """Return how the streets carry the day, by the microscopic model unless options say otherwise."""
    target = counted_day(sumocfg, LOOPS, folder / "day", greens=greens, end_s=3600.0 * hours)
    (folder / "edges.add.xml").write_text(
        f'<additional><edgeData id="e" freq="3600" file="{folder / "edges.xml"}"/></additional>'
    )
    configuration = read_configuration(target)
    additionals = ",".join(map(str, (*configuration.additionals, folder / "edges.add.xml")))
    statistics = folder / "statistics.xml"
    summary = folder / "summary.xml"
    command = [sumo_binary("sumo"), "-c", target, "--additional-files", additionals, "--seed", "0", "--no-warnings"]
    command += ["--duration-log.statistics", "true"]
    command += [
        *options,
        "--statistic-output",
        statistics,
        "--summary-output",
        summary,
        "--summary-output.period",
        "900",
    ]
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=sumo_environment(), cwd=folder)
    _, _, pool, located = read_scenario(sumocfg, LOOPS, folder)
    flows = day_flows(pool, located, read_net(configuration.net, programs=True) if greens else None)[:, :hours]
    wall = {"wall_s": round(time.perf_counter() - began)}
    return wall | carried(folder / "edges.xml", statistics, summary, pool, located, flows)


def carried(edges, statistics, summary, pool, located, flows):
    """Return the volumes of the first hours of a simulated day beside the counts and the demand."""
    hours = flows.shape[1]
    located = dataclasses.replace(located, flow=located.flow[:, :hours])
    demand = pool.passes(located.edges) @ flows
    agreeing = geh(demand, located.flow).mean(axis=1) <= ACCEPTED_GEH
    place = {edge: k for k, edge in enumerate(located.edges)}
    volume = np.zeros(located.flow.shape)
    for _, interval in defusedxml.ElementTree.iterparse(edges):
        if interval.tag == "interval":
            hour = int(float(interval.get("begin")) // 3600)
            for edge in interval.iter("edge"):
                if edge.get("id") in place:
                    began = float(edge.get("departed", 0)) + float(edge.get("entered", 0))
                    volume[place[edge.get("id")], hour] = began
            interval.clear()
    root = defusedxml.ElementTree.parse(statistics).getroot()
    steps = [dict(step.attrib) for step in defusedxml.ElementTree.parse(summary).getroot().iter("step")]
    return {
        "against counts": figures(volume, located),
        "against counts, agreeing": Fit.of(volume[agreeing], located.flow[agreeing]).row(),
        "against demand": Fit.of(volume, demand).row(),
        "by hour": [by_hour(h, volume, located.flow, demand, flows, steps) for h in range(hours)],
        "day total over demand": round(volume.sum() / demand.sum(), 4),
        "vehicles": dict(root.find("vehicles").attrib),
        "teleports": dict(root.find("teleports").attrib),
        "trips": {k: root.find("vehicleTripStatistics").get(k) for k in ("count", "speed", "timeLoss", "departDelay")},
        "worst edges": {
            located.edges[k]: [round(located.flow[k].sum()), round(demand[k].sum()), round(volume[k].sum())]
            for k in np.argsort(-np.abs(volume - demand).sum(axis=1))[:8]
        },
    }


def by_hour(hour, volume, count, demand, flows, steps):
    """Return the figures of one hour, and how many vehicles wait and have been teleported at its end."""
    volume, count, demand = volume[:, hour], count[:, hour], demand[:, hour]
    end = [step for step in steps if float(step["time"]) <= 3600 * (hour + 1)][-1]
    return Fit.of(volume, count).row() | {
        "hour": hour,
        "departures": round(flows[:, hour].sum()),
        "over demand": round(volume.sum() / demand.sum(), 3),
        "over counts": round(volume.sum() / count.sum(), 3),
        "geh_below_5 of the demand": Fit.of(demand, count).row()["geh_below_5"],
        **{name: int(end[name]) for name in ("running", "waiting", "teleports", "inserted")},
    }


def streets(sumocfg, folder):
    """Return what the capacity of the streets takes from the estimated flows, by hour."""
    configuration, _, pool, located = read_scenario(sumocfg, LOOPS, folder)
    net = read_net(configuration.net, programs=True)
    capacity = capacities(net) | dict.fromkeys(located.edges, np.inf)
    passes, most = passing(list(pool.routes), list(capacity)), SATURATED * np.array(list(capacity.values()))
    free, kept = day_flows(pool, located), day_flows(pool, located, net)
    at = pool.passes(located.edges)
    return {"streets": len(capacity)} | {
        str(hour): {
            "full, without counts": int((passes @ free[:, hour] > most).sum()),
            **{
                name: [round(flows[:, hour].sum()), Fit.of(at @ flows[:, hour], located.flow[:, hour]).row()]
                for name, flows in (("estimate", free), ("within capacity", kept))
            },
        }
        for hour in range(HOURS)
    }


def main():
    """Print the figures asked for."""
    folds = next((int(word) for word in sys.argv[1:] if word.isdigit()), 5)
    city = next((Path(word) for word in sys.argv[1:] if Path(word).is_dir()), None)
    hours = next((int(word[:-1]) for word in sys.argv[1:] if re.fullmatch(r"\d+h", word)), HOURS)
    words = [word for word in sys.argv[1:] if not word.isdigit()] or ["methods", "day"]
    with tempfile.TemporaryDirectory(prefix="cosim-counts-") as place:
        result = {}
        if "methods" in words:
            result["methods"] = methods(folds, Path(place))
        if "day" in words:
            meso = (*MESOSCOPIC, *OPTIONS)
            given = {"sumocfg": city / TRAFFIC, "options": meso, "greens": True} if city else {}
            result["day"] = day(Path(place), **given, hours=hours)
        if "streets" in words:
            result["streets"] = streets(city / TRAFFIC, Path(place))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
