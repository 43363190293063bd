"""A run as an RO-Crate 1.1 of the profile Process Run Crate 0.5: all its files, and what made them from what."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata, version
from pathlib import Path
from typing import Any

from .run import Run

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
_KEPT = {
    "run.json": ("application/json", "parameters, seed, versions, hashes of inputs, ledger and times of the run"),
    "indicators.json": ("application/json", "numbers by which the run is judged"),
    "layers.json": ("application/json", "places of the elements"),
    "events.parquet": ("application/vnd.apache.parquet", "what happened to elements"),
}


def write(run: Run, folder: Path) -> None:
    """Write the crate: the run's recorded files are copied into it; checkpoints and logs are not."""
    from rocrate.model.contextentity import ContextEntity  # of the extra "exports"
    from rocrate.rocrate import ROCrate

    about = run.about
    crate = ROCrate(version="1.1")

    def entity(name: str, kind: str, /, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, name, properties={"@type": kind} | properties))

    address, name = run.licence
    crate.name = run.title
    crate.description = ". ".join([f"Results of the co-simulation {run.result.name}", *run.attribution]) + "."
    crate.datePublished = about["ended"]
    crate.license = entity(address or "#licence", "CreativeWork", name=name, description=name)
    crate.root_dataset["conformsTo"] = entity(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    crate.root_dataset["keywords"] = ["co-simulation", "urban digital twin", *sorted(about["adapters"])]
    results = []
    for file, (media, what) in _KEPT.items():
        if (run.folder / file).is_file():
            described = {"name": file, "description": what, "encodingFormat": media}
            results.append(crate.add_file(run.folder / file, file, properties=described))
    for port in run.result.ports:
        if (run.folder / "series" / port).is_dir():
            told = about["outputs"][port]
            what = f"{port} [{told['unit']}] by label and time (UTC); {told['kind']} of every {told['every_s']:g} s"
            results.append(
                crate.add_dataset(
                    run.folder / "series" / port, f"series/{port}", properties={"name": port, "description": what}
                )
            )
    programs = {}
    for program, number in {"cosim": version("cosim-city"), **about["versions"]}.items():
        home = _home(program)
        at = {"url": home} if home else {}
        programs[program] = entity(
            home or f"#{_slug(program)}", "SoftwareApplication", name=program, softwareVersion=number, **at
        )
    cosim = programs["cosim"]
    cosim["softwareRequirements"] = [one for name, one in programs.items() if name != "cosim"]
    inputs = []
    for source in about.get("sources", ()):
        licence, credit = source["licence"], source["attribution"]
        inputs.append(entity(f"#source-{_slug(source['file'])}", "CreativeWork", name=source["file"], usageInfo=licence,
                             creditText=credit))  # fmt: skip
    for path, digest in about["inputs"].items():
        file = Path(path).name  # the path is that of the machine which ran it
        inputs.append(
            entity(f"#input-{_slug(file)}-{digest[:8]}", "CreativeWork", name=file, identifier=f"sha256:{digest}")
        )
    for key, value in {"seed": about["seed"], **about["parameters"]}.items():
        parameter = f"#parameter-{_slug(key)}"
        inputs.append(
            entity(
                parameter,
                "PropertyValue",
                name=key,
                value=value if isinstance(value, (int, float, str)) else str(value),
            )
        )
    run_action = entity(
        "#run",
        "CreateAction",
        name=run.title,
        description=f"Run of the scenario {run.result.name}, {about['simulated_s']:g} s of simulated time",
        startTime=about["started"],
        endTime=about["ended"],
        actionStatus="http://schema.org/CompletedActionStatus",
    )
    run_action["instrument"] = cosim
    run_action["object"] = inputs
    run_action["result"] = results
    crate.root_dataset["mentions"] = run_action
    if not run.about.get("agent"):
        run.tell("who ran it: the run does not record a person, so the crate names no agent")
    run.tell("checkpoints, logs, reports and files of the adapters: not in the crate")
    crate.write(folder)


def _home(program: str) -> str:
    """Return the address of a program's home page, as its package states it; empty if it is not installed."""
    try:
        about = metadata(program)
    except PackageNotFoundError:
        return ""
    pairs = (line.partition(", ") for line in about.get_all("Project-URL") or ())
    homes = {name.lower(): address for name, _, address in pairs}
    return homes.get("homepage") or homes.get("repository") or next(iter(homes.values()), "")


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "-", str(text)).strip("-")
