"""Entities to a context broker over its REST interface: batches of upserts, retried with back-off.

ETSI GS CIM 009: ``POST /ngsi-ld/v1/entityOperations/upsert``, answered by 201 or 204, or by 207 with the entities that
were refused.
"""

from __future__ import annotations

import json
import random
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cosim.core.errors import CosimError

from .ngsi import Entity

PATH = "/ngsi-ld/v1/entityOperations/upsert"
_RETRIED = frozenset({408, 425, 429, 500, 502, 503, 504})
_LARGEST_ANSWER = 1_000_000
"""Bytes of an answer that are read."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Follows no redirection: headers with a token go to the address that the user named, and to no other."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


@dataclass
class ContextBroker:
    """A context broker, to which entities are sent.

    Parameters
    ----------
    url
        Its address, as in ``http://localhost:1026``.
    headers
        Further headers, such as ``NGSILD-Tenant`` or ``Authorization``.
    batch
        Entities in one request.
    attempts
        Attempts for each batch; the wait before the next one doubles from ``wait_s`` on, with a jitter of a half.
    wait_s, timeout_s
        The first wait, and the limit of each request. [s]

    Raises
    ------
    CosimError
        If the address is not one of http or https.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    batch: int = 500
    attempts: int = 5
    wait_s: float = 0.5
    timeout_s: float = 30.0
    sleep: Callable[[float], None] = time.sleep
    sent: int = field(default=0, init=False)
    """Entities that the broker has accepted."""
    retries: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise CosimError(f"the broker is {self.url!r}: give its address, as in http://localhost:1026")
        if self.batch < 1 or self.attempts < 1:
            raise CosimError(f"the broker has batch {self.batch} and attempts {self.attempts}: both must be positive")

    def upsert(self, entities: Sequence[Entity]) -> None:
        """Create or update entities, in batches.

        Raises
        ------
        CosimError
            If the broker is not reached after all attempts, or refuses a batch or entities of it.
        """
        for first in range(0, len(entities), self.batch):
            chunk = entities[first : first + self.batch]
            self._post(json.dumps(chunk, ensure_ascii=False, allow_nan=False).encode())
            self.sent += len(chunk)

    def _post(self, body: bytes) -> None:
        target = self.url.rstrip("/") + PATH
        headers = {"Content-Type": "application/ld+json", "Accept": "application/json", **self.headers}
        opener = urllib.request.build_opener(_NoRedirect)
        problem = ""
        for attempt in range(self.attempts):
            if attempt:
                self.retries += 1
                self.sleep(self.wait_s * 2 ** (attempt - 1) * (1 + 0.5 * random.random()))
            try:
                request = urllib.request.Request(target, body, headers, method="POST")
                with opener.open(request, timeout=self.timeout_s) as answer:
                    if answer.status == 207:
                        raise CosimError(f"{target} refused entities: {_refused(answer.read(_LARGEST_ANSWER))}")
                    return
            except urllib.error.HTTPError as error:
                said = error.read(_LARGEST_ANSWER).decode(errors="replace").strip().replace("\n", " ")[:200]
                problem = f"it answered {error.code} {error.reason}" + (f": {said}" if said else "")
                if error.code not in _RETRIED:
                    raise CosimError(f"{target} refused a batch: {problem}; {self.sent} entities were sent") from None
            except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
                problem = str(getattr(error, "reason", error))
        raise CosimError(
            f"{target} cannot be reached after {self.attempts} attempts: {problem}; {self.sent} entities were sent. "
            "Start the broker, or correct its address"
        )


def _refused(answer: bytes) -> str:
    """Return which entities a broker refused, and why."""
    try:
        errors = json.loads(answer)["errors"]
        told = [f"{e['entityId']} ({e.get('error', {}).get('title') or e.get('error')})" for e in errors[:3]]
        return ", ".join(told) + (f" and {len(errors) - 3} more" if len(errors) > 3 else "")
    except (ValueError, KeyError, TypeError, AttributeError):
        return answer.decode(errors="replace").strip().replace("\n", " ")[:200] or "it does not say which"
