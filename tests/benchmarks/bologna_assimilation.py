"""Does assimilating Bologna's loops predict the next hour's flow where no loop was used? One JSON line.

``python tests/benchmarks/bologna_assimilation.py [loops] [twin] [sumo]`` without words does all three, in some minutes.

``loops``: the model is the day of 1 February 2024, estimated by `path_flows` from the loops of four of five folds (the
flow estimate's path flows, no SUMO); the live data are the hourly counts of 2 February on the same loops. The next
hour's flow on the loops of the fifth fold, unknown to model and filter: as the model has it (free run), corrected by
the factors after the hour before (assimilated), and beside them the loop's own last hour (persistence) and its own
count of the day before, which need that loop's data.

``twin``: a truth drawn with other demand (every origin's factor, log-normal, and a common one) and Poisson counts by
another seed; the same three predictions, and how far the factors come back.

``sumo``: the closed loop. SUMO's mesoscopic model drives the day of 1 February from 3 to 7 h ("early") and from 6
to 10 h ("peak"; either word chooses one); the adapter
`DemandFilter` corrects its demand by origin every hour, by what a feed gives it. Once the feed is the counts of 2
February on the loops of four folds, once those of a truth: another seed, with the factors of ``twin``. Compared on the
loops of the fifth fold, from the second hour on.
"""

import csv
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosim import Clock, Scenario
from cosim.adapters.feed.specification import Feeds
from cosim.adapters.traffic import Traffic
from cosim.core.kalman import FactorFilter
from cosim.core.random import generator, uniform
from cosim.live.wiring import attach
from cosim.scenarios.mobility.counts.assimilation import UsualDay, origin_zones, zone_flows
from cosim.scenarios.mobility.counts.day import counted_day, read_scenario
from cosim.scenarios.mobility.counts.path_flows import geh, path_flows
from tests.support.paths import BOLOGNA, DATA

SUMOCFG = BOLOGNA / "joined" / "run.sumocfg"
LOOPS = DATA / "counts" / "bologna_loops_2024-02-01.csv"
FOLDS, HOURS, HOUR_S = 5, 24, 3600.0
LENGTH = 4
BEGINS = {"early": 3, "peak": 6}
"""First hours, and the number of hours, of the closed loop."""
DAYTIME = slice(6, 22)
"""Hours predicted in the figures "6 to 22 h"."""


def of_day(date, folder):
    """Return a file with the counts of one day."""
    rows = list(csv.reader(LOOPS.read_text(encoding="utf-8-sig").splitlines(), delimiter=";"))
    at = rows[0].index("data")
    path = folder / f"{date}.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=";").writerows([rows[0], *(row for row in rows[1:] if row[at] == date)])
    return path


def agreement(predicted, counted, hours=slice(None)):
    """Return RMSE [veh/h], mean GEH and the share of GEH below 5 of the hours from 1 on."""
    a, b = predicted[:, 1:][:, hours], counted[:, 1:][:, hours]
    missed = geh(a, b)
    return {
        "rmse": round(float(np.sqrt(((a - b) ** 2).mean())), 1),
        "geh": round(float(missed.mean()), 2),
        "geh_below_5": round(float((missed < 5).mean()), 3),
    }


def predict(by_zone, counted, used, before=None):
    """Return the next hour's flow on all edges, shape (n_edges, 24), and the factors; the first hour is the model's.

    by_zone : shape (n_edges, n_zones, 24); counted : shape (n_edges, 24); used : which edges are given to the filter;
    before : the counts from which the model was made, if any.
    """
    usual = None if before is None else (by_zone[used].sum(axis=(1, 2)) + 1) / (before[used].sum(axis=1) + 1)
    predicted = np.empty(counted.shape)
    predicted[:, 0] = by_zone[..., 0].sum(axis=1)
    factors = FactorFilter(by_zone[used].mean(axis=2), usual)
    for hour in range(HOURS - 1):
        # the simulator of this experiment is linear: it runs with the factors that were known when the hour began
        factors.correct(counted[used, hour], by_zone[used][..., hour] @ factors.factors, HOUR_S)
        predicted[:, hour + 1] = by_zone[..., hour + 1] @ factors.ahead(HOUR_S)
    return predicted, factors.factors


def folds(edges):
    """Return the fold of every edge."""
    fold = np.empty(len(edges), int)
    fold[np.argsort(uniform(0, "fold of counts", edges), kind="stable")] = np.arange(len(edges)) % FOLDS
    return fold


def by_folds(pool, edges, first, second):
    """Return predictions of the second day on loops that were not used."""
    zones, passes, fold = origin_zones(pool), pool.passes(edges), folds(edges)
    free, assimilated = np.empty(second.shape), np.empty(second.shape)
    for k in range(FOLDS):
        used = fold != k
        by_zone = zone_flows(pool, edges, zones, path_flows(passes[used], pool.prior, first[used]))
        free[~used] = by_zone[~used].sum(axis=1)
        assimilated[~used] = predict(by_zone, second, used, first)[0][~used]
    persistence = np.hstack([second[:, :1], second[:, :-1]])
    return {"free run": free, "assimilated": assimilated, "persistence": persistence, "day before": first}


def figures(predictions, counted):
    return {
        name: {"all hours": agreement(p, counted), "6 to 22 h": agreement(p, counted, DAYTIME)}
        for name, p in predictions.items()
    }


def loops(pool, edges, first, second):
    reached = pool.passes(edges) @ pool.prior > 0
    found = by_folds(pool, edges, first, second)
    halved = by_folds(pool, edges, first, second * 0.7)
    return {
        "2 February": figures({n: p[reached] for n, p in found.items()}, second[reached]),
        "2 February with 30 % less traffic": figures({n: p[reached] for n, p in halved.items()}, 0.7 * second[reached]),
    }


def twin(pool, edges, first, seeds=5):
    """Return predictions of days drawn from a truth with other factors, and how far the factors come back."""
    zones, passes, fold = origin_zones(pool), pool.passes(edges), folds(edges)
    by_zone = zone_flows(pool, edges, zones, path_flows(passes, pool.prior, first))
    used = fold != 0
    seen = by_zone[used].sum(axis=(0, 2)) > 100
    rows, recovered = [], []
    for seed in range(seeds):
        draw = generator(seed, "truth", "twin")
        truth = np.exp(0.3 * draw.standard_normal() + 0.2 * draw.standard_normal(by_zone.shape[1]))
        counted = draw.poisson(np.einsum("ezh,z->eh", by_zone, truth)).astype(float)
        predicted, factors = predict(by_zone, counted, used)
        persistence = np.hstack([counted[:, :1], counted[:, :-1]])
        free = by_zone.sum(axis=1)
        found = {"free run": free, "assimilated": predicted, "persistence": persistence}
        rows.append(figures({name: p[~used] for name, p in found.items()}, counted[~used]))
        recovered.append(1 - np.sqrt(((factors - truth)[seen] ** 2).mean() / ((1 - truth)[seen] ** 2).mean()))
    mean = {
        name: {k: {m: round(float(np.mean([r[name][k][m] for r in rows])), 3) for m in v} for k, v in about.items()}
        for name, about in rows[0].items()
    }
    return {"held-out loops": mean, "share of the factors' error removed": round(float(np.mean(recovered)), 3)}


def driven(begin, sumocfg, day, seed, folder, factors=None, counts=None):
    """Return hourly flows on all edges of SUMO's mesoscopic model, shape (n_hours, n_edges) [veh/h], and last factors.

    The demand by origin is scaled by factors, or follows counts by edge, shape (n_hours,).
    """
    clock = Clock(f"2025-01-15T{begin:02d}:00", hours=LENGTH, step_s=60, zone="Europe/Rome")
    traffic = Traffic(sumocfg, seed=seed, fidelity="meso", connection="libsumo", zones=day.zones)
    scenario = Scenario(clock, traffic=traffic)
    if factors is not None:
        scenario.schedule("traffic.zone_demand", {clock.civil(0): dict(zip(traffic.zone_demand.labels, factors))})
    if counts is not None:
        day.follow_counts(scenario)
        folder.mkdir()
        with (folder / "counts.csv").open("w", newline="") as file:
            rows = csv.writer(file)
            rows.writerow(["begin", "edge", "vehicles"])
            for hour in range(LENGTH):
                for edge, row in counts.items():
                    rows.writerow([clock.civil(hour * HOUR_S).isoformat(), edge, row[hour]])
        value = {"port": "demand.counts", "path": "vehicles", "unit": "vehicle/hour", "label": {"path": "edge"}}
        stream = {"file": str(folder / "counts.csv"), "grows": False, "payload": "csv", "time": "begin"}
        rule = {"hold": 0, "default": -1, "statistic": "last"}
        feeds = {"streams": [{**stream, "shift": "1h", "values": [value]}], "ports": {"demand.counts": rule}}
        attach(scenario, Feeds.model_validate(feeds))
    scenario.record("traffic.flow", every="1h")
    if counts is not None:
        scenario.record("demand.factor")
    result = scenario.run(folder / "run")
    last = (
        result.series("demand.factor", labels=list(dict.fromkeys(day.zones.values()))) if counts is not None else None
    )
    return result.series("traffic.flow") * HOUR_S, None if last is None else last.iloc[-1]


def sumo(begin, edges, first, second, folder):
    """Return the closed loop's predictions for the loops of one fold, of 2 February and of a truth."""
    folder.mkdir()
    fold = folds(edges)
    used, hours = fold != 0, slice(begin, begin + LENGTH)
    counts = folder / "training.csv"
    with counts.open("w", newline="") as file:
        csv.writer(file).writerow(["edge", *(f"h{h:02d}" for h in range(HOURS))])
        csv.writer(file).writerows([edge, *row] for edge, row, is_used in zip(edges, first, used) if is_used)
    day = UsualDay.of(SUMOCFG, counts, folder / "usual")
    span = {"begin_s": begin * HOUR_S, "end_s": (begin + LENGTH) * HOUR_S}
    sumocfg = counted_day(SUMOCFG, counts, folder / "counted", **span)
    outside = [edge for edge, is_used in zip(edges, used) if not is_used]
    draw = generator(0, "truth", "twin")
    zones = list(dict.fromkeys(day.zones.values()))
    truth = np.exp(0.3 * draw.standard_normal() + 0.2 * draw.standard_normal(len(zones)))
    free, _ = driven(begin, sumocfg, day, 0, folder / "free")
    real, _ = driven(begin, sumocfg, day, 1, folder / "truth", factors=truth)
    measured = {edge: second[edges.index(edge)][hours] for edge in edges}
    seen = {edge: measured[edge] for edge in day.edges}
    followed, _ = driven(begin, sumocfg, day, 0, folder / "followed", counts=seen)
    alike = replace(day, usual=np.ones(len(day.edges)))  # the truth is of the model's own kind
    recovered, found = driven(
        begin, sumocfg, alike, 0, folder / "recovered", counts={e: real[e].to_numpy() for e in day.edges}
    )
    days = {
        "2 February": (followed, np.array([measured[edge] for edge in outside])),
        "truth of another seed": (recovered, real[outside].to_numpy().T),
    }
    shares = day.shares.sum(axis=0)
    removed = 1 - np.sqrt(shares @ (found.to_numpy() - truth) ** 2 / (shares @ (1 - truth) ** 2))
    return {
        name: {
            "free run": agreement(free[outside].to_numpy().T, counted),
            "assimilated": agreement(run[outside].to_numpy().T, counted),
            "persistence": agreement(np.hstack([counted[:, :1], counted[:, :-1]]), counted),
        }
        for name, (run, counted) in days.items()
    } | {
        "share of the factors' error removed, weighted by flow": round(float(removed), 3),
        "factors, truth and found, by flow": np.round(
            [[truth[k], found.iloc[k]] for k in np.argsort(-shares)], 2
        ).tolist(),
    }


def main(words):
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        days = [read_scenario(SUMOCFG, of_day(f"2024-02-0{d}", folder), folder / str(d)) for d in (1, 2)]
    pool, one, two = days[0][2], days[0][3], days[1][3]
    both = [edge for edge in one.edges if edge in two.edges]
    first, second = (c.flow[[c.edges.index(edge) for edge in both]] for c in (one, two))
    pool = days[0][2]
    found = {"edges": len(both), "origins": len(origin_zones(pool))}
    if not words or "loops" in words:
        found["loops"] = loops(pool, both, first, second)
    if not words or "twin" in words:
        found["twin"] = twin(pool, both, first)
    if not words or "sumo" in words:
        with tempfile.TemporaryDirectory() as place:
            found["sumo"] = {
                name: sumo(begin, both, first, second, Path(place) / name)
                for name, begin in BEGINS.items()
                if name in words or not {*words} & {*BEGINS}
            }
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
