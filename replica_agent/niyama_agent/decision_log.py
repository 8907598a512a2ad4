"""The decision log: one JSON line an iteration, enough to plan each again. Schema: `niyama_core.journal`."""

import json

from niyama_core.journal import IterationRecord, JournalHeader

from niyama_agent.engine import EngineFacts
from niyama_agent.record_file import RecordFile
from niyama_agent.settings import AgentSettings, RotationSettings

__all__ = ["header_line", "open_decision_log"]


def open_decision_log(
    settings: RotationSettings, agent: AgentSettings, *, facts: EngineFacts | None = None
) -> RecordFile:
    """Return a file that takes the records of an agent.

    Raises:
        OSError: it cannot be written.
    """
    return RecordFile(settings, header=header_line(agent, facts=facts), render=_line)


def header_line(agent: AgentSettings, *, facts: EngineFacts | None = None) -> str:
    """Return the first line of a file: what the planner is made of.

    Args:
        agent: what was asked for.
        facts: what the engine made of that, where it is ready: it may bound settings, and find a profile by itself.
    """
    engine = agent.engine
    header = JournalHeader(
        scheduler=facts.scheduler if facts else agent.scheduler,
        profile=engine.profile or (facts.profile if facts else ""),
        speed=engine.speed,
        seed=engine.seed,
        replica=agent.replica,
    )
    return json.dumps(header.to_json_dict(), separators=(",", ":"))


def _line(record: IterationRecord) -> str:
    return json.dumps(record.to_json_dict(), separators=(",", ":"))
