"""A run as an entry of a data catalogue: DCAT-AP 3.0 in JSON-LD, with a context inside, so that nothing is fetched."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

from cosim.core.errors import CosimError

from .run import Run

FILE = "dcat.jsonld"
_MEDIA = "https://www.iana.org/assignments/media-types/"
_FILE_TYPE = "http://publications.europa.eu/resource/authority/file-type/"
_COUNTRY = "http://publications.europa.eu/resource/authority/country/"
_THEMES = ("ENER", "ENVI", "TRAN")
"""Energy, environment, transport, of the EU's table of data themes."""
CONTEXT = {
    "dcat": "http://www.w3.org/ns/dcat#",
    "dct": "http://purl.org/dc/terms/",
    "foaf": "http://xmlns.com/foaf/0.1/",
    "locn": "http://www.w3.org/ns/locn#",
    "prov": "http://www.w3.org/ns/prov#",
    "xsd": "http://www.w3.org/2001/XMLSchema#",
    "rdfs": "http://www.w3.org/2000/01/rdf-schema#",
    "geosparql": "http://www.opengis.net/ont/geosparql#",
}


def _typed(value: str, kind: str) -> dict[str, str]:
    return {"@value": value, "@type": kind}


def write(run: Run, folder: Path, url: str = "") -> None:
    """Write a catalogue of one dataset; its distributions are the run's series as Parquet, and its indicators.

    Parameters
    ----------
    run, folder
        The run, and where ``dcat.jsonld`` is written.
    url
        Address under which the run's folder will be published; without it the addresses are relative to the entry.

    Raises
    ------
    CosimError
        If the address is none of the web.
    """
    if url and not url.startswith(("https://", "http://")):
        raise CosimError(f"--url is {url!r}: give the address where the run's folder will be found, as https://…/run/")
    if not url:
        run.tell(
            "addresses of the distributions are relative to the entry: pass --url with that of the published folder"
        )
    base = url and url.rstrip("/") + "/"
    about = run.about
    run_name = f"{run.result.name} {about['started']} {about['seed']}"
    identifier = f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, run_name)}"
    publisher = {"@id": f"{identifier}#publisher", "@type": "foaf:Agent", "foaf:name": "the makers of the run"}
    rights = {"@type": "dct:RightsStatement", "rdfs:label": run.attribution}  # of a distribution one at most
    address, licence = run.licence
    shared: dict[str, Any] = {"dct:rights": rights} if run.attribution else {}
    shared |= {"dct:license": {"@id": address, "@type": "dct:LicenseDocument", "dct:title": licence}} if address else {}
    dataset = {
        "@id": identifier,
        "@type": "dcat:Dataset",
        "dct:title": {"@value": run.title, "@language": "en"},
        "dct:description": {"@value": _description(run), "@language": "en"},
        "dct:identifier": identifier,
        "dct:issued": _typed(about["ended"], "xsd:dateTime"),
        "dct:publisher": {"@id": publisher["@id"]},
        "dct:temporal": {
            "@type": "dct:PeriodOfTime",
            "dcat:startDate": _typed(run.start.isoformat(), "xsd:dateTime"),
            "dcat:endDate": _typed(run.end.isoformat(), "xsd:dateTime"),
        },
        "dcat:temporalResolution": _typed(f"PT{about['clock']['step_s']:g}S", "xsd:duration"),
        "dcat:keyword": ["co-simulation", "urban digital twin", *sorted(about["adapters"])],
        "dcat:theme": [{"@id": f"http://publications.europa.eu/resource/authority/data-theme/{t}"} for t in _THEMES],
        "dct:source": [_source(source) for source in about.get("sources", ())],
        "prov:wasGeneratedBy": {
            "@type": "prov:Activity",
            "prov:startedAtTime": _typed(about["started"], "xsd:dateTime"),
            "prov:endedAtTime": _typed(about["ended"], "xsd:dateTime"),
            "rdfs:label": ", ".join(f"{name} {number}" for name, number in about["versions"].items()),
        },
        "dcat:distribution": [
            *(
                _distribution(
                    identifier, base, f"series/{port}/", "vnd.apache.parquet", "PARQUET", f"{port} [{u}]", shared
                )
                for port in run.ports()
                for u in [about["outputs"][port]["unit"]]
            ),
            _distribution(identifier, base, "indicators.json", "json", "JSON", "indicators", shared),
            _distribution(identifier, base, "run.json", "json", "JSON", "provenance", shared),
        ],
        **shared,
    }
    if bounds := run.places.bounds():
        west, south, east, north = bounds
        corners = ((west, south), (east, south), (east, north), (west, north), (west, south))
        ring = ", ".join(f"{x:.5f} {y:.5f}" for x, y in corners)
        dataset["dct:spatial"] = {
            "@type": "dct:Location",
            "dcat:bbox": _typed(f"POLYGON(({ring}))", "geosparql:wktLiteral"),
        }
    else:
        run.tell("where the run lies: it has no place in degrees, so the entry has no dct:spatial")
    catalogue = {
        "@id": f"{identifier}#catalogue",
        "@type": "dcat:Catalog",
        "dct:title": {"@value": "Runs of cosim", "@language": "en"},
        "dct:description": {"@value": "Results of co-simulations of cities", "@language": "en"},
        "dct:publisher": {"@id": publisher["@id"]},
        "dcat:dataset": [{"@id": identifier}],
    }
    content = {"@context": CONTEXT, "@graph": [catalogue, publisher, dataset]}
    (folder / FILE).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _source(source: Mapping[str, str]) -> dict[str, str]:
    about = f"Data that the run is made from. Licence: {source['licence'] or 'not stated'}"
    return {"@type": "dcat:Dataset", "dct:title": source["file"], "dct:description": about}


def _description(run: Run) -> str:
    facts = "; ".join(f"{subject}: {text}" for subject, text in run.about.get("facts", {}).items())
    return f"Simulated, not measured. {facts}".strip()


def _distribution(
    identifier: str, base: str, path: str, media: str, kind: str, title: str, shared: dict[str, Any]
) -> dict[str, Any]:
    return {
        "@id": f"{identifier}#{quote(path)}",
        "@type": "dcat:Distribution",
        "dct:title": {"@value": title, "@language": "en"},
        "dcat:accessURL": {"@id": urljoin(base, quote(path))},
        "dcat:mediaType": {"@id": f"{_MEDIA}application/{media}"},
        "dct:format": {"@id": f"{_FILE_TYPE}{kind}"},
        **shared,
    }
