"""Tests of policies on traffic: each has its documented effect and no other."""

from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from cosim import CosimError
from cosim.adapters.traffic.demand import Variant
from cosim.adapters.traffic.files import root_of
from cosim.scenarios import eixample
from cosim.scenarios.mobility.cars import euro_standard
from cosim.scenarios.policies import (
    CordonPrice,
    DistancePrice,
    LowEmissionZone,
    ModeShift,
    Parking,
    SignalRetiming,
    SpeedLimit,
    Superblocks,
)
from cosim.scenarios.policies.cells import cell_in, find_cells
from cosim.scenarios.policies.trips import retype, trips_of
from cosim.scenarios.streets.eixample import eixample_streets
from cosim.scenarios.streets.network import read_net
from tests.support.policy_runs import quarter, run_traffic


def net_of(city):
    return read_net(city.sumocfg.parent / "eixample.net.xml")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return run_traffic(quarter(), tmp_path_factory.mktemp("runs") / "base")


@pytest.fixture(scope="module")
def superblocks(tmp_path_factory):
    return run_traffic(Superblocks().change_city(quarter()), tmp_path_factory.mktemp("runs") / "superblocks")


def distance(result, edges=None):
    travelled = result.integral("traffic.travel")
    return float((travelled if edges is None else travelled[list(edges)]).sum())


def last(result, port):
    return float(result.total(port).iloc[-1])


def local_share(city, cell, hours):
    """Return the share of the distance inside a cell that vehicles drive which begin or end there."""
    net, inside = net_of(city), set(cell.interior)
    route_file = next(city.sumocfg.parent.glob("cars.rou.xml"))
    depart_h = {v.get("id"): float(v.get("depart")) / 3600 for v in ET.parse(route_file).iter("vehicle")}
    metres = {True: 0.0, False: 0.0}
    for trip in trips_of(city):
        if 8 <= depart_h.get(trip.id, 0.0) < 8 + hours:
            local = bool(inside.intersection((trip.way[0], trip.way[-1])))
            metres[local] += sum(net.getEdge(edge).getLength() for edge in inside.intersection(trip.way))
    return metres[True] / sum(metres.values())


def test_superblock_keeps_local_traffic_and_moves_the_rest_to_the_border(base, superblocks):
    [cell] = Superblocks().find(net_of(quarter()))
    share = local_share(quarter(), cell, 0.5)
    assert share < 0.75
    # the share is of routes that begin in the half hour, some of which are not driven to their end
    assert distance(superblocks, cell.interior) < 1.1 * share * distance(base, cell.interior)
    assert distance(superblocks, cell.border) > 1.1 * distance(base, cell.border)


def test_superblock_makes_detours_and_cancels_no_trip(base, superblocks):
    assert distance(superblocks) > distance(base)
    assert last(superblocks, "traffic.cancelled") == 0
    assert last(superblocks, "traffic.inserted") == last(base, "traffic.inserted")


def test_traffic_inside_a_superblock_is_slow(superblocks):
    [cell] = Superblocks().find(net_of(quarter()))
    inside = superblocks.integral("traffic.vehicles")[list(cell.interior)].sum()
    assert distance(superblocks, cell.interior) / inside < 1.2 * 20 / 3.6  # drivers' speed factors spread by a tenth


def test_grid_of_six_by_six_blocks_holds_four_cells_of_nine_blocks_that_share_no_street(tmp_path):
    cells = find_cells(read_net(eixample_streets(tmp_path, 6, 6)))
    assert len(cells) == 4
    streets = [edge for cell in cells for edge in cell.interior]
    assert len(set(streets)) == len(streets)
    assert all(cell.area.area == pytest.approx((3 * 133.3) ** 2, rel=1e-3) for cell in cells)


def test_superblock_can_be_drawn_as_a_polygon():
    net = net_of(quarter())
    [found] = find_cells(net)
    assert cell_in(net, found.area).interior == found.interior


def test_superblock_without_a_street_inside_is_refused():
    with pytest.raises(CosimError, match="no street for cars inside"):
        Superblocks(polygons=(((0, 0), (9, 0), (9, 9)),)).change_city(quarter())


CROSSED, LINE = ((0, 0), (100, 100), (100, 0), (0, 100)), ((0, 0), (100, 0))


@pytest.mark.parametrize(("outline", "reason"), [(CROSSED, "crosses itself"), (LINE, "of 2 corners holds no area")])
@pytest.mark.parametrize(
    "made",
    [
        lambda outline: Superblocks(polygons=(outline,)),
        lambda outline: LowEmissionZone(polygon=outline),
        lambda outline: CordonPrice(polygon=outline),
    ],
    ids=["Superblocks", "LowEmissionZone", "CordonPrice"],
)
def test_outline_that_is_not_a_simple_polygon_is_refused(made, outline, reason):
    with pytest.raises(CosimError, match=f"polygon.*{reason}"):
        made(outline)


def test_superblock_excludes_cars_that_ignore_permissions(tmp_path):
    city, cell = quarter(), Superblocks().find(net_of(quarter()))[0]
    unbound, _ = retype(city, lambda trip: "free", {"free": Variant({"vClass": "ignoring"})})
    base = run_traffic(unbound, tmp_path / "base", hours=0.25)
    closed = run_traffic(Superblocks().change_city(unbound), tmp_path / "closed", hours=0.25)
    assert distance(closed, cell.interior) < 1.1 * local_share(city, cell, 0.25) * distance(base, cell.interior)


def test_lower_limit_keeps_speeds_below_it(base, tmp_path):
    slow = run_traffic(SpeedLimit(30).change_city(quarter()), tmp_path / "run")
    before, after = (distance(r) / r.integral("traffic.vehicles").sum() for r in (base, slow))
    assert after < before
    assert float(slow.series("traffic.speed").max().max()) <= 30 / 3.6 * 1.4  # the fastest driver's factor


def test_limit_that_no_street_exceeds_is_refused():
    with pytest.raises(CosimError, match="changes no street"):
        SpeedLimit(50).change_city(quarter())


def test_low_emission_zone_removes_the_banned_class(base, tmp_path):
    zone = run_traffic(LowEmissionZone(replaced=0.0).change_city(quarter()), tmp_path / "run")
    banned = "HBEFA4/PC_diesel_Euro-5"
    assert float(base.integral("traffic.co2_by_class")[banned]) > 0
    begun = zone.series("traffic.co2_by_class")[banned]
    assert float(begun.sum()) < 0.2 * float(base.series("traffic.co2_by_class")[banned].sum())
    assert last(zone, "traffic.cancelled") > 0


def test_replaced_cars_make_the_banned_cars_trips(base, tmp_path):
    zone = run_traffic(LowEmissionZone(replaced=1.0).change_city(quarter()), tmp_path / "run")
    assert last(zone, "traffic.inserted") == last(base, "traffic.inserted")
    assert zone.integral("traffic.nox").sum() < base.integral("traffic.nox").sum()
    assert distance(zone) == pytest.approx(distance(base), rel=0.02)


def test_zone_that_bans_no_car_is_refused():
    with pytest.raises(CosimError, match="bans no car"):
        LowEmissionZone(petrol_from_euro=1, diesel_from_euro=1).change_city(quarter())


def test_euro_standard_of_a_class_without_one_is_unknown():
    assert euro_standard("HBEFA2/P_7_7") is None


def test_cordon_price_keeps_through_traffic_from_crossing_the_cordon(base, tmp_path):
    city = CordonPrice(5.0).change_city(quarter())
    charged = city.measures.inputs["traffic.toll"]
    priced = run_traffic(city, tmp_path / "run")
    assert distance(priced, charged) < 0.9 * distance(base, charged)


def test_distance_price_charges_by_length():
    city = DistancePrice(0.5).change_city(quarter())
    tolls = city.measures.inputs["traffic.toll"]
    length = {edge.getID(): edge.getLength() for edge in net_of(quarter()).getEdges(withInternal=False)}
    assert {edge: day[0][1] for edge, day in tolls.items()} == pytest.approx(
        {edge: 0.5 * metres / 1000 for edge, metres in length.items()}, rel=1e-6
    )


def test_mode_shift_removes_its_part_of_the_trips(base, tmp_path):
    shifted = run_traffic(ModeShift(0.25).change_city(quarter()), tmp_path / "run")
    before, after = last(base, "traffic.inserted"), last(shifted, "traffic.inserted")
    spread = (0.25 * 0.75 / before) ** 0.5
    assert after / before == pytest.approx(0.75, abs=4 * spread)


def demand_factor(city):
    [(_, factor)] = city.measures.inputs["traffic.demand_factor"]["network"]
    return factor


def parking_share(city):
    """Return the share of the cars that, by their names, begin or end in the district, of those of the run's hour."""
    cars = [trip for trip in trips_of(city) if trip.vehicle_class == "passenger" and 8 <= trip.depart_s / 3600 <= 9]
    return 1 - sum(trip.id.startswith("through") for trip in cars) / len(cars)


def test_higher_parking_price_lowers_demand_of_parking_trips_by_the_elasticity():
    share = parking_share(quarter())
    assert 0.05 < share < 0.8
    factor = demand_factor(Parking(increase=1.0, elasticity=-0.3).change_city(quarter()))
    assert factor == pytest.approx(1 - share * (1 - 2**-0.3), abs=0.01)


def test_parking_spaces_limit_trips_when_fewer_are_left_than_cars_are_parked():
    share = parking_share(quarter())
    factor = demand_factor(Parking(increase=0.0, removed=0.4, occupancy=0.8).change_city(quarter()))
    assert factor == pytest.approx(1 - share * (1 - 0.6 / 0.8), abs=0.01)
    both = Parking(increase=1.0, elasticity=-0.3, removed=0.4, occupancy=0.8).change_city(quarter())
    assert demand_factor(both) == factor  # the places bind more than the price
    slack = Parking(increase=1.0, elasticity=-0.3, removed=0.1, occupancy=0.8).change_city(quarter())
    assert demand_factor(slack) == demand_factor(Parking(increase=1.0, elasticity=-0.3).change_city(quarter()))


def test_parking_policy_without_effect_is_refused():
    with pytest.raises(CosimError, match="changes no trip"):
        Parking(increase=0.0, removed=0.1).change_city(quarter())


def test_two_demand_factors_multiply():
    factor = demand_factor(Parking(increase=1.0).change_city(quarter()))
    both = Parking(increase=1.0).change_city(ModeShift(0.5).change_city(quarter()))
    assert demand_factor(both) == pytest.approx(0.5 * factor)


def test_webster_signals_cause_less_time_loss_than_fixed_ones(base, tmp_path):
    retimed = run_traffic(SignalRetiming("webster", 8).change_city(quarter()), tmp_path / "run")
    assert retimed.integral("traffic.time_loss").sum() < base.integral("traffic.time_loss").sum()


def test_coordinated_signals_differ_only_in_offset(tmp_path):
    city = SignalRetiming("coordinated").change_city(quarter())
    before = {light.get("id"): light for light in root_of(city.sumocfg.parent / "eixample.net.xml").iter("tlLogic")}
    after = {light.get("id"): light for light in root_of(Path(city.traffic_options[-1].split(",")[-1])).iter("tlLogic")}
    assert after.keys() <= before.keys()
    assert len({light.get("offset") for light in after.values()}) > 1
    for name, light in after.items():
        phases = [
            [(phase.get("duration"), phase.get("state")) for phase in one.iter("phase")]
            for one in (before[name], light)
        ]
        assert not phases[1] or phases[0] == phases[1]
    run_traffic(city, tmp_path / "run", hours=0.1)


def test_stricter_of_two_speed_limits_applies():
    city = SpeedLimit(30).change_city(Superblocks(interior_kmh=10).change_city(quarter()))
    limits = city.measures.inputs["traffic.speed_limit"]
    [cell] = Superblocks().find(net_of(quarter()))
    assert {limits[edge][0][1] for edge in cell.interior} == {10 / 3.6}
    assert {limits[edge][0][1] for edge in cell.border} == {30 / 3.6}


def test_city_built_in_another_folder_has_the_same_files_so_that_runs_can_be_resumed():
    cities = [Superblocks().change_city(eixample.build(blocks=(4, 4), hours=1, begin_hour=8).model) for _ in range(2)]
    one, other = (city.sumocfg.parent for city in cities)
    files = sorted(path.relative_to(one) for path in one.rglob("*.*") if path.is_file())
    assert len(files) >= 3
    for path in files:
        assert (one / path).read_bytes() == (other / path).read_bytes(), path
