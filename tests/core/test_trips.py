"""The numbers by which traffic and fleet name the states of trips: other adapters and recorded series hold them."""

from cosim.core.trips import MayDepart, TripState


def test_states_of_trips_keep_their_numbers():
    assert {state.name: int(state) for state in TripState} == {
        "AS_PLANNED": -1,
        "WAITING": 0,
        "DRIVING": 1,
        "ARRIVED": 2,
        "REMOVED": 3,
        "STANDING": 4,
    }
    assert {answer.name: int(answer) for answer in MayDepart} == {"NEVER": -1, "NOT_YET": 0, "NOW": 1}
