"""Runs roc-validator on a crate without a network: the JSON-LD context of RO-Crate comes from a file.

Started in the validator's own Python: ``python crate_check.py CONTEXT.jsonld CRATE`` prints every issue of the required
and recommended level as JSON and fails if a required one is among them; ``python crate_check.py rdf FILE`` prints a
JSON-LD file's triples.
"""

import io
import json
import sys
import urllib.request
from email.message import Message
from pathlib import Path
from urllib.response import addinfourl


class Local(urllib.request.BaseHandler):
    """Answers every request over https with the context."""

    def __init__(self, content):
        self.content = content

    def https_open(self, request):
        headers = Message()
        headers["Content-Type"] = "application/ld+json"
        return addinfourl(io.BytesIO(self.content), headers, request.full_url, 200)


class Answer:
    status_code = 200
    headers = {"Content-Type": "application/ld+json"}  # noqa: RUF012

    def __init__(self, content):
        self.content = content

    def json(self):
        return json.loads(self.content)


def check(context, crate):
    from rocrate_validator import models, services
    from rocrate_validator.utils.http import HttpRequester

    content = Path(context).read_bytes()
    urllib.request.install_opener(urllib.request.build_opener(Local(content)))
    HttpRequester.get = lambda self, url, **options: Answer(content)
    settings = services.ValidationSettings(
        rocrate_uri=crate,
        profile_identifier="process-run-crate-0.5",
        requirement_severity=models.Severity.RECOMMENDED,
        skip_availability_check=True,
    )
    result = services.validate(settings)
    issues = [(issue.severity.name, issue.check.identifier, str(issue.message)) for issue in result.get_issues()]
    print(json.dumps(issues))  # noqa: T201
    return any(severity == "REQUIRED" for severity, _, _ in issues)


def triples(path):
    import rdflib

    graph = rdflib.Graph().parse(path, format="json-ld")
    print(json.dumps([[str(node) for node in triple] for triple in graph]))  # noqa: T201


if __name__ == "__main__":
    sys.exit(triples(sys.argv[2]) if sys.argv[1] == "rdf" else check(*sys.argv[1:]))
