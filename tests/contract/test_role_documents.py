"""What the operator and `niyama up` render is what routers and agents read, and what they take over while they run."""

from typing import Any

import pytest
from niyama_agent import settings as agent_settings
from niyama_core.role_documents import AGENT_LIVE_FIELDS, ROUTER_LIVE_FIELDS
from niyama_operator.manifests.blueprint import Blueprint, Role
from niyama_operator.manifests.configuration import role_document
from niyama_router import settings as router_settings

from tests.operator.builders import a_blueprint

# Another value for each field of a rendered document.
AGENT_CHANGES: dict[str, Any] = {
    "cluster": "models/other",
    "listen": "0.0.0.0:1",
    "model": "other",
    "redis": {"url": "redis://other:6379/0"},
    "drainGrace": "1s",
    "metrics": "0.0.0.0:1",
    "log": {"level": "debug"},
    "engine": {"type": "paced", "noise": 0.5},
    "scheduler": {"policy": "qoserve"},
    "limits": {"maxOutputTokens": 1},
}
ROUTER_CHANGES: dict[str, Any] = {
    **{key: AGENT_CHANGES[key] for key in ("cluster", "listen", "model", "redis", "drainGrace", "metrics", "log")},
    "maxOutputTokens": 1,
    "contextTokens": 99,
    "qosClasses": [{"name": "only", "batch": {"ttlt": "1m"}}],
    "maxMoves": 5,
    "placement": "round-robin",
    "numRouters": 9,
    "policy": "qoserve",
    "replay": True,
    "replicaService": "elsewhere:1",
    "maxConnectionAge": "1s",
}


def paced() -> Blueprint:
    return a_blueprint(engine={"type": "paced"})


def agent(**fields: object) -> agent_settings.AgentSettings:
    return agent_settings.parse_settings({**role_document(paced(), Role.REPLICA), "replica": "one", **fields})


def router(**fields: object) -> router_settings.RouterSettings:
    return router_settings.parse_settings({**role_document(paced(), Role.ROUTER), "router": "one", **fields})


def test_changes_are_tried_of_every_field_that_is_rendered() -> None:
    assert role_document(paced(), Role.REPLICA).keys() == AGENT_CHANGES.keys()
    assert role_document(paced(), Role.ROUTER).keys() == ROUTER_CHANGES.keys()


@pytest.mark.parametrize("field", AGENT_CHANGES)
def test_an_agent_takes_over_just_the_fields_that_need_no_restart(field: str) -> None:
    before, after = agent(), agent(**{field: AGENT_CHANGES[field]})
    assert after != before
    left = after.differences(before.live_part_from(after))
    assert (not left) == (field in AGENT_LIVE_FIELDS)


@pytest.mark.parametrize("field", ROUTER_CHANGES)
def test_a_router_takes_over_just_the_fields_that_need_no_restart(field: str) -> None:
    before, after = router(), router(**{field: ROUTER_CHANGES[field]})
    assert after != before
    assert (not after.differs_beyond_rules(before)) == (field in ROUTER_LIVE_FIELDS)
