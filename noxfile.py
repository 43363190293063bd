"""The project's checks by name: ``nox -s tests types lint build bench``; ``--no-venv`` runs them where nox runs."""

import glob
import os

import nox

nox.options.sessions = ["lint", "types", "tests"]
LOCK = "requirements.lock"
CODE = ["cosim", "cosim/core/", "cosim/adapters/", "cosim/scenarios/", "tests", "noxfile.py", "setup.py"]


def install(session: nox.Session) -> None:
    """Install the locked dependencies and the package, unless the session uses the environment it is run in."""
    if isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        return
    session.install("--require-hashes", "-r", LOCK)
    session.install("--no-deps", "--no-build-isolation", "--editable", ".")


@nox.session
def tests(session: nox.Session) -> None:
    """Run every test."""
    install(session)
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session(python="3.12")
def newer(session: nox.Session) -> None:
    """Run the engine's tests on Python 3.12, for which the lock file holds mosaik 3.7."""
    install(session)
    session.run("python", "-m", "pytest", "tests/test_exchange.py", "tests/test_bridge.py", "tests/test_scenario.py",
                "tests/faults", "tests/test_mosaik_export.py", "tests/test_mosaik_sim.py", "tests/test_fmu.py",
                "tests/test_results.py")  # fmt: skip


@nox.session
def foreign(session: nox.Session) -> None:
    """Run mosaik simulators whose dependencies do not fit ours, in a Python of their own."""
    install(session)
    folder = os.path.join(os.path.abspath(session.create_tmp()), "foreign")
    session.run("python", "-m", "venv", folder)
    python = os.path.join(folder, "bin", "python")
    # setuptools: mosaik-hdf5 for Python 3.11 needs simpy 3.0, which needs pkg_resources
    packages = ["mosaik-heatpump==1.0.2", "mosaik-hdf5==0.4", "setuptools<81"]
    session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
    session.run("python", "-m", "pytest", "tests/test_mosaik_sim.py", env={"COSIM_FOREIGN_PYTHON": python})


@nox.session
def types(session: nox.Session) -> None:
    """Check types."""
    install(session)
    session.run("mypy", "cosim", "tests")


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, import contracts and Cython."""
    install(session)
    session.run("ruff", "check", *CODE)
    session.run("lint-imports")
    session.run("cython-lint", *sorted(glob.glob("core/*.pyx")))


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel, install the wheel in a fresh environment and import it from another folder."""
    install(session)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist")
    wheel = os.path.abspath(max(glob.glob("dist/cosim-*.whl"), key=os.path.getmtime))
    folder = os.path.abspath(session.create_tmp())
    session.run("python", "-m", "venv", os.path.join(folder, "fresh"))
    python = os.path.join(folder, "fresh", "bin", "python")
    session.run(python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", LOCK, external=True)
    session.run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--force-reinstall", wheel, external=True)
    with session.chdir(folder):
        session.run(python, "-c", "import cosim.scenarios.eixample, cosim.core._zones", external=True)
        session.run(os.path.join(folder, "fresh", "bin", "cosim"), "list", external=True)


@nox.session
def bench(session: nox.Session) -> None:
    """Print the figures that the documentation states."""
    install(session)
    for script in sorted(glob.glob("tests/benchmarks/*.py")):
        session.run("python", script, env={"PYTHONPATH": "."})
