"""What the API server was asked, and by whom: tests count it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

__all__ = ["ApiRequest", "requests"]


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One request, told when it ended; a watch when it began."""

    user: str
    agent: str
    verb: str
    resource: str
    namespace: str
    name: str
    status: int
    received: datetime


def requests(log: Path, *, user: str = "", since: datetime | None = None) -> Iterator[ApiRequest]:
    """Yield the requests of an audit log in its order: whose user's name contains `user`, received from `since` on."""
    for line in log.read_text().splitlines():
        event = json.loads(line)
        if event["stage"] != ("ResponseStarted" if event["verb"] == "watch" else "ResponseComplete"):
            continue
        request = _request(event)
        if user in request.user and (since is None or request.received >= since):
            yield request


def _request(event: dict[str, Any]) -> ApiRequest:
    target = event.get("objectRef", {})
    return ApiRequest(
        user=event["user"].get("username", ""),
        agent=event.get("userAgent", ""),
        verb=event["verb"],
        resource="/".join(filter(None, (target.get("resource"), target.get("subresource")))),
        namespace=target.get("namespace", ""),
        name=target.get("name", ""),
        status=event.get("responseStatus", {}).get("code", 0),
        received=datetime.fromisoformat(event["requestReceivedTimestamp"]),
    )
