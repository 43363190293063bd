"""The identity of runs: what an edit of the file that holds builder and study changes, and what it does not."""

import pytest

from cosim import Study
from cosim.study.code import function_digest
from cosim.study.factors import StudyError

FILE = '''
"""A study."""
import math
import os

from cosim import Clock, Scenario, Study

BASE = {"x": 1.0}
UNUSED = 5


class Level:
    value = 2


def helper(x):
    """Double it."""
    return 2 * x


def other(x):
    return x


def build(x: float = 0.0, seed: int = 0):
    return Scenario(Clock("2025-01-15", hours=1), a=helper(x + BASE["x"]))


os.environ["MODE"] = "1"
study = Study(build, x=[0.0, 1.0], seeds=3)

if __name__ == "__main__":
    print(study.run().to_string())
'''


def digest(tmp_path, text):
    path = tmp_path / f"s{len(list(tmp_path.iterdir()))}.py"
    path.write_text(text)
    return function_digest(path, "build")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("seeds=3", "seeds=4"),
        ("x=[0.0, 1.0]", "x=[0.0, 1.0, 2.0]"),
        ("import math\n", "import math  # for later\n\n"),
        ('"""Double it."""', '"""Return twice the value."""'),
        ("UNUSED = 5", "UNUSED = 6"),
        ("def other(x):\n    return x", "def other(x):\n    return -x"),
        ("print(study.run().to_string())", "print(study.run(workers=2))"),
        ("if __name__", "study.run(workers=2)\nprint(study.status())\nif __name__"),
    ],
)
def test_an_edit_that_the_builder_does_not_depend_on_changes_no_run(tmp_path, old, new):
    assert old in FILE
    assert digest(tmp_path, FILE) == digest(tmp_path, FILE.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("hours=1", "hours=2"),
        ("return 2 * x", "return 3 * x"),
        ('BASE = {"x": 1.0}', 'BASE = {"x": 2.0}'),
        ("UNUSED = 5", 'BASE["x"] = 3.0'),
        ('"MODE"] = "1"', '"MODE"] = "2"'),
        ("UNUSED = 5", "BASE.update(x=9.0)"),
        ("value = 2", "value = 3"),
        ("from cosim import Clock", "from other import Clock"),
        ("helper(x + BASE", "(lambda y: y)(x + BASE"),
    ],
)
def test_an_edit_that_the_builder_depends_on_changes_its_runs(tmp_path, old, new):
    assert old in FILE
    assert digest(tmp_path, FILE) != digest(tmp_path, FILE.replace(old, new))


def test_a_function_that_is_a_value_of_a_factor_counts(tmp_path):
    given = FILE.replace("x=[0.0, 1.0]", "rule={'same': other}")
    assert digest(tmp_path, given) != digest(tmp_path, given.replace("return x", "return -x"))


STUDY = "\nstudy = Study(build, x=[0.0, 1.0], seeds=1)\n"


def test_a_study_that_is_edited_keeps_its_runs_and_says_what_has_changed(place):
    toy = (place.folder / "toy.py").read_text()
    place.write("study.py", toy + STUDY)
    assert "2 done" in place.cosim("study", "study.py").stdout
    more = toy + STUDY.replace("seeds=1", "seeds=2") + "# more seeds\n"
    place.write("study.py", more)
    assert place.cosim("study", "study.py", "--status").stdout.strip() == "2 done, 2 missing"
    assert "4 done" in place.cosim("study", "study.py").stdout
    assert len(place.attempts()) == 4
    edited = more.replace('+ x, "kWh"', '+ 2 * x, "kWh"')
    assert edited != more
    place.write("study.py", edited)
    asked = place.cosim("study", "study.py")
    assert asked.returncode == 1
    assert "  4 changed: build() or what it uses has changed; repeat with --rerun-changed" in asked.stdout
    assert "nothing was run: table, effects and page in" in " ".join(asked.stdout.split())
    assert len(place.attempts()) == 4
    place.write("study.py", more)
    assert place.cosim("study", "study.py", "--status").stdout.strip() == "4 done"
    place.write("study.py", edited)
    again = place.cosim("study", "study.py", "--rerun-changed")
    assert again.returncode == 0, again.stderr
    assert len(place.attempts()) == 8


def test_runs_of_a_removed_level_stay_until_they_are_pruned(place):
    place.study("Study(build, x=[0.0, 1.0], seeds=2)")
    assert place.cosim("study", "study.py").returncode == 0
    place.study("Study(build, x=[0.0], seeds=2)")
    found = place.cosim("study", "study.py", "--status", "--seeds", "1").stdout
    assert found.splitlines() == ["1 done", "  2 orphaned, no longer part of the study; remove with --prune"]
    assert place.cosim("study", "study.py", "--prune", "--seeds", "1").stdout.strip() == "2 runs removed"
    assert place.cosim("study", "study.py", "--status").stdout.strip() == "2 done"
    assert len(place.attempts()) == 4


def test_a_failed_run_is_retried_once_its_builder_is_mended(place):
    place.study("Study(build, x=[0.0])")
    broken = (place.folder / "toy.py").read_text()
    place.write("toy.py", broken.replace("    time.sleep(sleep_s)", "    time.sleep(no_such_name)"))
    assert "NameError" in place.cosim("study", "study.py").stdout
    place.cosim("study", "study.py")
    assert len(place.attempts()) == 1
    place.write("toy.py", broken)
    assert "1 done" in place.cosim("study", "study.py").stdout


def test_a_folder_that_holds_the_study_of_another_file_is_refused(place):
    place.study("Study(build, x=[0.0], name='mine')")
    assert place.cosim("study", "study.py").returncode == 0
    place.write(
        "other.py", "from cosim import Study\nfrom toy import build\nstudy = Study(build, hours=[0.2], name='mine')\n"
    )
    refused = place.cosim("study", "other.py")
    assert refused.returncode == 1
    assert "holds the study of" in " ".join(refused.stderr.split())
    assert "give this one another name or folder" in " ".join(refused.stderr.split())
    assert len(place.attempts()) == 1
    (place.folder / "study.py").unlink()  # it was renamed
    assert place.cosim("study", "other.py").returncode == 0


def test_an_interactive_study_has_no_file():
    scope = {"Study": Study}
    exec(compile("study = Study('eixample', blocks=[(2, 2)])", "<stdin>", "exec"), scope)
    assert scope["study"].defined_in == ""
    with pytest.raises(StudyError):
        Study("eixample", nothing=[1])
