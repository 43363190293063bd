"""The project's checks: ``nox -s tests types lint docs build bench``; ``--no-venv`` runs them where nox runs."""

import glob
import os
import shutil
import sys
import zipfile
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
RUNNING, TOOLS = "requirements.lock", "requirements-dev.lock"
CODE = ["cosim", "cosim/core/", "cosim/adapters/", "cosim/scenarios/", "tests", "docs", "noxfile.py", "setup.py"]


def install(session: nox.Session) -> None:
    """Install the locked dependencies and the package, unless the session uses the environment it is run in."""
    if isinstance(session.virtualenv, nox.virtualenv.PassthroughEnv):
        return
    session.install("--require-hashes", "-r", TOOLS)
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
    session.run(
        "python",
        "-m",
        "pytest",
        "tests/cosim/engine",
        "tests/cosim/results",
        "tests/faults",
        "tests/cosim/test_mosaik_export.py",
        "tests/adapters/mosaik_sim",
        "tests/adapters/fmu",
    )


@nox.session
def foreign(session: nox.Session) -> None:
    """Run mosaik simulators and a validator whose dependencies do not fit ours, each in a Python of its own."""
    install(session)
    # setuptools: mosaik-hdf5 for Python 3.11 needs simpy 3.0, which needs pkg_resources
    simulators = ["mosaik-heatpump==1.0.2", "mosaik-hdf5==0.4", "setuptools<81"]
    pythons: dict[str, str | None] = {}
    for variable, packages in (("COSIM_FOREIGN_PYTHON", simulators), ("COSIM_CRATE_PYTHON", ["roc-validator==0.13.0"])):
        folder = os.path.join(os.path.abspath(session.create_tmp()), variable.lower())
        session.run("python", "-m", "venv", folder)
        pythons[variable] = python = os.path.join(folder, "bin", "python")
        session.run(python, "-m", "pip", "install", "--quiet", *packages, external=True)
    need_it = ["tests/adapters/mosaik_sim", "tests/cosim/exports/test_formats.py"]
    session.run("python", "-m", "pytest", *need_it, env=pythons)


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
    session.run("ruff", "format", "--check", *CODE)
    session.run("lint-imports")
    session.run(
        "cython-lint",
        *(path for room in ("adapters", "core") for path in sorted(glob.glob(f"{room}/**/*.pyx", recursive=True))),
    )


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation site into build/site, strictly; nothing is fetched."""
    install(session)
    session.run("mkdocs", "build", "--strict", env={"NO_MKDOCS_2_WARNING": "1"})


@nox.session
def build(session: nox.Session) -> None:
    """Build sdist and wheel as an index takes them; let the wheel alone run the main job from another folder."""
    install(session)
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--no-isolation", "--outdir", "dist")
    [wheel] = glob.glob("dist/cosim_city-*.whl")
    if sys.platform == "linux":
        session.run("auditwheel", "repair", "--wheel-dir", "dist", wheel)
        os.remove(wheel)
        [wheel] = glob.glob("dist/cosim_city-*manylinux*.whl")
    session.run("twine", "check", "--strict", *glob.glob("dist/*"))
    missing = sorted(packaged_files() - set(zipfile.ZipFile(wheel).namelist()))
    if missing:
        session.error(f"{wheel} lacks {', '.join(missing)}: name them in pyproject.toml, and in MANIFEST.in")
    folder = os.path.abspath(session.create_tmp())
    fresh = os.path.join(folder, "fresh")
    session.run("python", "-m", "venv", "--clear", fresh)
    pip = [os.path.join(fresh, "bin", "python"), "-m", "pip", "install", "--quiet"]
    session.run(*pip, "--require-hashes", "-r", RUNNING, external=True)
    session.run(*pip, "--no-deps", os.path.abspath(wheel), external=True)
    cosim, out = os.path.join(fresh, "bin", "cosim"), os.path.join(folder, "out")
    shutil.rmtree(out, ignore_errors=True)
    alone: dict[str, str | None] = {"PYTHONPATH": None}
    with session.chdir(folder):
        session.run(cosim, "list", external=True, env=alone)
        job = ["run", "eixample", "--set", "blocks=2,2", "--set", "hours=1", "--out", out]
        session.run(cosim, *job, external=True, env=alone)


def packaged_files() -> set[str]:
    """Return what a wheel must hold of the tree: everything in the four folders but C sources and compiled files."""
    return {
        (path if path.parts[0] == "cosim" else "cosim" / path).as_posix()
        for top in ("cosim", "core", "adapters", "scenarios")
        for folder, _, names in os.walk(top)  # links are not followed: cosim/core is core
        for path in (Path(folder, name) for name in names)
        if "__pycache__" not in path.parts and path.suffix not in {".c", ".so", ".pyc"}
    }


@nox.session
def bench(session: nox.Session) -> None:
    """Print the figures that the documentation states."""
    install(session)
    for script in sorted(glob.glob("tests/benchmarks/*.py")):
        session.run("python", script, env={"PYTHONPATH": "."})
