"""Do measures on streets do to traffic what they say, and no more?"""

import pytest

from cosim import CosimError
from cosim.scenarios import eixample
from cosim.scenarios.policies import (
    CordonPrice,
    DistancePrice,
    LowEmissionZone,
    ModeShift,
    ParkingPrice,
    SignalRetiming,
    SpeedLimit,
    Superblocks,
)
from cosim.scenarios.policies.cells import cell_in, find_cells
from cosim.scenarios.policies.mobility import euro_standard
from cosim.scenarios.streets import read_net
from cosim.scenarios.streets_eixample import eixample_streets
from tests.policy_runs import quarter, run_traffic


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


def test_superblock_halves_the_traffic_inside_and_moves_it_to_the_border(base, superblocks):
    [cell] = Superblocks().find(net_of(quarter()))
    assert distance(superblocks, cell.interior) < 0.6 * distance(base, cell.interior)
    assert distance(superblocks, cell.border) > 1.2 * distance(base, cell.border)


def test_superblock_makes_detours_and_cancels_no_trip(base, superblocks):
    assert distance(superblocks) > distance(base)
    assert last(superblocks, "traffic.cancelled") == 0
    assert last(superblocks, "traffic.inserted") == last(base, "traffic.inserted")


def test_superblock_is_slow_inside(superblocks):
    [cell] = Superblocks().find(net_of(quarter()))
    inside = superblocks.integral("traffic.vehicles")[list(cell.interior)].sum()
    assert distance(superblocks, cell.interior) / inside < 1.2 * 20 / 3.6  # drivers' speed factors spread by a tenth


def test_grid_of_six_by_six_blocks_holds_cells_of_nine_blocks_that_share_no_street(tmp_path):
    cells = find_cells(read_net(eixample_streets(tmp_path, 6, 6)))
    assert len(cells) >= 2
    streets = [edge for cell in cells for edge in cell.interior]
    assert len(set(streets)) == len(streets)
    assert all(cell.area.area == pytest.approx((3 * 133.3) ** 2, rel=1e-3) for cell in cells)


def test_superblock_may_be_drawn_as_a_polygon():
    net = net_of(quarter())
    [found] = find_cells(net)
    assert cell_in(net, list(found.area.exterior.coords)).interior == found.interior


def test_superblock_without_a_street_inside_is_refused():
    with pytest.raises(CosimError, match="no street for cars inside"):
        cell_in(net_of(quarter()), [(0, 0), (1, 0), (1, 1)])


def test_superblock_outline_that_crosses_itself_is_refused():
    with pytest.raises(CosimError, match="crosses itself"):
        cell_in(net_of(quarter()), [(0, 0), (100, 100), (100, 0), (0, 100)])


def test_lower_limit_lowers_speeds_below_it(base, tmp_path):
    slow = run_traffic(SpeedLimit(30).change_city(quarter()), tmp_path / "run")
    before, after = (distance(r) / r.integral("traffic.vehicles").sum() for r in (base, slow))
    assert after < before
    assert float(slow.series("traffic.speed").max().max()) <= 30 / 3.6 * 1.4  # the fastest driver's factor


def test_limit_that_no_street_exceeds_is_refused():
    with pytest.raises(CosimError, match="changes no street"):
        SpeedLimit(50).change_city(quarter())


def test_low_emission_zone_removes_the_class_that_it_bans(base, tmp_path):
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


def test_zone_that_bans_nobody_is_refused():
    with pytest.raises(CosimError, match="bans nobody"):
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


def test_mode_shift_takes_its_share_of_the_trips(base, tmp_path):
    shifted = run_traffic(ModeShift(0.25).change_city(quarter()), tmp_path / "run")
    before, after = last(base, "traffic.inserted"), last(shifted, "traffic.inserted")
    spread = (0.25 * 0.75 / before) ** 0.5
    assert after / before == pytest.approx(0.75, abs=4 * spread)


def test_dearer_parking_lowers_demand_by_the_elasticity():
    city = ParkingPrice(increase=1.0, elasticity=-0.3).change_city(quarter())
    [(_, factor)] = city.measures.inputs["traffic.demand_factor"]["network"]
    assert factor == pytest.approx(2**-0.3)


def test_two_measures_of_demand_multiply():
    city = ParkingPrice(increase=1.0, elasticity=-1.0).change_city(ModeShift(0.5).change_city(quarter()))
    [(_, factor)] = city.measures.inputs["traffic.demand_factor"]["network"]
    assert factor == pytest.approx(0.25)


def test_webster_signals_lose_less_time_than_fixed_ones(base, tmp_path):
    retimed = run_traffic(SignalRetiming("webster", 8).change_city(quarter()), tmp_path / "run")
    assert retimed.integral("traffic.time_loss").sum() < base.integral("traffic.time_loss").sum()


def test_coordinated_signals_differ_in_offset_only(tmp_path):
    city = SignalRetiming("coordinated").change_city(quarter())
    text = next(city.workspace.path.glob("signals-*.add.xml")).read_text()
    assert "offset" in text
    run_traffic(city, tmp_path / "run", hours=0.1)


def test_stricter_of_two_limits_holds():
    city = SpeedLimit(30).change_city(Superblocks(interior_kmh=10).change_city(quarter()))
    limits = city.measures.inputs["traffic.speed_limit"]
    [cell] = Superblocks().find(net_of(quarter()))
    assert {limits[edge][0][1] for edge in cell.interior} == {10 / 3.6}
    assert {limits[edge][0][1] for edge in cell.border} == {30 / 3.6}


def test_same_city_elsewhere_gets_the_same_files_so_that_a_run_can_be_resumed():
    cities = [
        Superblocks().change_city(eixample.build(blocks=(4, 4), hours=1, begin_hour=8).model) for _ in range(2)
    ]
    one, other = (city.sumocfg.parent for city in cities)
    files = sorted(path.relative_to(one) for path in one.rglob("*.*") if path.is_file())
    assert len(files) >= 3
    for path in files:
        assert (one / path).read_bytes() == (other / path).read_bytes(), path
