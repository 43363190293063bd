"""The conformance checks, each of which must detect the adapter that violates it and state the fix."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from cosim import CosimError
from cosim.testing import ConformanceError, Inspection, Rig, check_adapter, parametrize_with_checks
from tests.conformance import broken

CASES = [
    ("NeedsArgument", "is built", "cannot be built: TypeError", "pass the arguments"),
    ("RefusesArguments", "is built", "capacity_j is -1", "must accept these arguments"),
    ("OtherDatasheetEachTime", "is built", "different datasheets: energy, power, setpoint, share differ", "from a set"),
    ("NoPorts", "datasheet is complete", "NoPorts has no ports", "as an attribute of its own in __init__"),
    ("InKilowatts", "datasheet is complete", "limit is in 'kW', which is not SI", "declare the port in 'W'"),
    ("NoDocstring", "datasheet is complete", "has no docstring", "state in the class docstring"),
    ("NoSign", "datasheet is complete", "which direction of power [W] is positive", "state the sign convention"),
    ("NowhereToRun", "datasheet is complete", "placement is 'cloud'", "'inline', 'thread' or 'process'"),
    ("LostFile", "datasheet is complete", "files names /nowhere/labels.csv", "list in self.files"),
    ("VersionUnknown", "datasheet is complete", "versions() raises AttributeError", "it is called before open()"),
    ("VersionIsNumber", "datasheet is complete", "versions() returns {'solver': 2}", "version of the software as text"),
    ("StartsThread", "constructor starts nothing", "leaves thread 'listener' open", "start simulators"),
    ("StartsProcess", "constructor starts nothing", "process ", "in open()"),
    ("OpensSocket", "constructor starts nothing", "socket:", "open files and sockets in open()"),
    ("OpensFile", "constructor starts nothing", "broken.py (descriptor", "read label files in the constructor"),
    ("HoldsLock", "is picklable", "cannot be pickled: TypeError", "create locks"),
    ("LosesPort", "is picklable", "pickling changes its datasheet: share differ", "do not omit ports in __getstate__"),
    ("TakesAnything", "wrong inputs are refused", "share accepts NaN", "do not override deliver()"),
    ("CannotOpen", "opens", "open() fails: FileNotFoundError: model.fmu", "open() must accept"),
    ("ReadsInputsInOpen", "opens", "setpoint has no value yet", "inputs arrive with the first step"),
    ("ClosesOnlyWhatIsOpen", "close is safe", "close() without open() raises AttributeError", "stop only what was"),
    ("ClosesOnce", "close is safe", "RuntimeError when called a second time: not running", "drop the reference"),
    ("FailsToClose", "outputs are assigned", "close() fails after a run: OSError", "without raising"),
    ("Raises", "outputs are assigned", "in the step from 0 to 60 s: ZeroDivisionError", "inputs= and step_s="),
    ("Exits", "outputs are assigned", "SystemExit: 0 (broken.py, line", "must accept everything that the datasheet"),
    ("Forgets", "outputs are assigned", "from 120 to 180 s: energy was not assigned",
     "assign every output in every step"),
    ("PublishesNan", "outputs are assigned", "power['b'] is nan", "one finite number per label"),
    ("PublishesWrongShape", "outputs are assigned", "power expects shape (2,), got (3,)",
     "one finite number per label"),
    ("WritesIntoInput", "outputs are assigned", "read-only", "work on a copy"),
    ("DefaultsNeedMore", "defaults suffice", "from 0 to 60 s: ZeroDivisionError", "that the datasheet allows"),
    ("StateUnknown", "states are known at the start", "level is a state", "assign self.level.value in open()"),
    ("EarlyMean", "states are known at the start", "power is a mean over a step", "only in advance()"),
    ("LatePort", "datasheet is constant", "late changed during the run", "declare every port in __init__"),
    ("ForcesInput", "inputs are not modified", "setpoint was modified", "work on a copy"),
    ("KeepsInput", "inputs are not modified", "for the step from 0 s", "never make a port's vector"),
    ("Random", "same inputs give same outputs", "in the step to 60 s power['a'] was", "draw by seed"),
    ("ReportsClock", "same inputs give same outputs", "it reported [Event(", "use neither the wall clock"),
    ("NeverResets", "reopens", "does not start from its initial state: in the step to 60 s power",
     "reset in open() everything"),
    ("LeavesThread", "close leaves nothing", "leaves thread 'solver' open", "end and join threads"),
    ("Swallows", "failure leaves nothing", "continues although a port refused",
     "let errors propagate out of advance()"),
    ("CannotCloseAfterFailure", "failure leaves nothing", "raises RuntimeError: still stepping", "stop everything"),
    ("LeavesThreadAfterFailure", "failure leaves nothing", "leaves thread 'solver' open", "what a step had started"),
    ("Poisons", "failure leaves nothing", "the next publishes different values", "keep state in the instance"),
    ("OnlySaves", "resumes", "it has save() without load()", "implement load(folder) too"),
    ("SavesTooLittle", "resumes", "after load() it does not continue", "save everything that advance() reads"),
    ("CannotSave", "resumes", "save() fails: FileNotFoundError", "save() is given an empty folder"),
    ("ChangesWhenSaved", "resumes", "save() changes the adapter", "do not change the simulator"),
    ("ReplaysInTheSameFolder", "resumes", "after a replay it does not continue", "set replays = False"),
    ("DependsOnStep", "step length does not matter", "while step_tolerance promises 1e-09", "integrate exactly"),
    ("DependsOnPlace", "placement does not matter", "power differs by up to 1 when it runs in a process", "hash"),
    ("NotInWorker", "placement does not matter", "with placement 'process' it fails: adapter failed while opening",
     "everything that it needs must come from"),
]  # fmt: skip


@parametrize_with_checks([broken.Battery, broken.Replayed, Rig(functools.partial(broken.Battery, ["one"]), n_steps=2)])
def test_correct_adapter_passes(check):
    check()


@pytest.mark.parametrize(("kind", "check", "problem", "fix"), CASES, ids=[case[0] for case in CASES])
def test_broken_adapter_fails_its_check_with_the_fix(kind, check, problem, fix):
    verdict = Inspection.of(getattr(broken, kind)).verdict(check)
    assert verdict.status == "failed", verdict
    text = "\n".join(map(str, verdict.findings))
    assert problem in text
    assert fix in text.partition("\n  fix: ")[2]


def test_every_check_has_an_adapter_that_fails_it():
    assert {case[1] for case in CASES} == set(Inspection.names)


def test_adapter_without_outputs_passes_the_checks_that_apply():
    statuses = {v.check: v.status for v in Inspection.of(broken.Listener).verdicts()}
    skipped = [name for name, status in statuses.items() if status == "skipped"]
    assert skipped == ["failure leaves nothing", "step length does not matter", "placement does not matter"]
    assert "failed" not in statuses.values()


def test_one_cause_is_reported_once():
    verdicts = {v.check: v for v in Inspection.of(broken.Raises).verdicts()}
    assert [name for name, v in verdicts.items() if v.status == "failed"] == ["outputs are assigned"]
    assert verdicts["reopens"].reason == "needs 'same inputs give same outputs'"


def test_check_adapter_reports_all_failures_together():
    class Careless(broken.EarlyMean):
        """Batteries."""

    with pytest.raises(ConformanceError) as error:
        check_adapter(Careless)
    text = str(error.value)
    assert text.startswith("Careless fails 3 checks:")
    for words in ("datasheet is complete: ", "is picklable: ", "states are known at the start: ", "  fix: state the"):
        assert words in text


def test_check_adapter_accepts_a_correct_adapter():
    check_adapter(broken.Battery, n_steps=2, step_s=900)


def test_expected_failure_is_excused_only_for_the_named_check():
    check_adapter(broken.NoSign, expected_failures={"datasheet is complete": "a toy"})
    with pytest.raises(ConformanceError, match="datasheet is complete"):
        check_adapter(broken.NoSign, expected_failures={"is picklable": "a toy"})


def test_excuse_that_is_no_longer_needed_is_a_failure():
    with pytest.raises(ConformanceError, match="opens: passes, although expected_failures excuses it"):
        check_adapter(broken.Battery, expected_failures={"opens": "was broken once"})


def test_expected_failure_is_an_xfail_with_its_reason_under_pytest():
    marker = parametrize_with_checks([broken.NoSign], expected_failures={"datasheet is complete": "a toy"})
    tests = {parameter.id: parameter.values[0] for parameter in marker.args[1]}
    with pytest.raises(pytest.xfail.Exception, match="a toy"):
        tests["NoSign-datasheet_is_complete"]()
    tests["NoSign-opens"]()


def test_adapter_that_cannot_be_resumed_is_skipped_with_the_remedy():
    class Plain(broken.Replayed):
        replays = False

    verdict = Inspection.of(Plain).verdict("resumes")
    assert verdict.status == "skipped"
    assert "implement save(folder) and load(folder), or set replays = True" in verdict.reason


def test_given_inputs_replace_generated_ones():
    def prices(step):
        return {"setpoint": [step.start_s, 7.0], "share": 1.0}

    rig = Rig(broken.Battery, inputs=prices)
    assert [rig.reference[k].outputs["power"][0] for k in (1, 2, 3)] == [0.0, 60.0, 120.0]
    assert rig.reference[1].outputs["power"][1] == 7.0


def test_generated_inputs_begin_with_the_default_and_suit_their_unit():
    rig = Rig(broken.Battery)
    received = [rig.received(rig.build(), k) for k in range(rig.n_steps)]
    assert received[0]["share"].tolist() == [1.0, 1.0]
    assert {share for h in received for share in h["share"]} == {0.0, 1.0}
    powers = np.array([h["setpoint"] for h in received])
    assert ((powers >= 0) & (powers <= 1000)).all()
    assert len(np.unique(powers)) == powers.size


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: Rig(broken.Battery()), "pass a class or function that builds one, as in lambda"),
        (lambda: Rig("battery"), "the factory is 'battery': the checks build several adapters"),
        (lambda: Rig(broken.Battery, step_s=0), "at least 2 steps of positive length"),
        (lambda: Rig(broken.Battery, step_s=float("nan")), "at least 2 steps of positive length"),
        (lambda: Rig(broken.Battery, n_steps=1), "1 steps of 60.0 s: a check needs at least 2"),
        (lambda: Inspection(Rig(broken.Battery, expected_failures={"opnes": "typo"})), "the checks are is built, "),
        (
            lambda: Rig(broken.Battery, inputs=lambda s: {"power": 1}).reference,
            "inputs= names unknown inputs of Battery: power; available: setpoint, share",
        ),
    ],
)
def test_misuse_of_the_checks_is_refused_with_the_remedy(call, words):
    with pytest.raises(CosimError, match=words.replace("(", r"\(")):
        call()


def test_factory_that_returns_the_same_adapter_twice_fails():
    battery = broken.Battery()
    verdict = Inspection.of(lambda: battery).verdict("is built")
    assert "returns the same adapter twice" in verdict.findings[0].problem


def test_factory_that_returns_something_else_fails():
    verdict = Inspection.of(dict).verdict("is built")
    assert verdict.findings[0].problem == "dict built a dict, not an adapter"
