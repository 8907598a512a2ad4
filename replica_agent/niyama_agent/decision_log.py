"""The decision log: one JSON line an iteration, enough to plan each again. Schema: `niyama_core.journal`."""

import json

from niyama_core.journal import IterationRecord, JournalHeader

from niyama_agent.record_file import RecordFile
from niyama_agent.settings import AgentSettings, RotationSettings

__all__ = ["header_line", "open_decision_log"]


def open_decision_log(settings: RotationSettings, agent: AgentSettings) -> RecordFile:
    """Return a file that takes the records of an agent.

    Raises:
        OSError: it cannot be written.
    """
    return RecordFile(settings, header=header_line(agent), render=_line)


def header_line(agent: AgentSettings) -> str:
    """Return the first line of a file: what the planner is made of."""
    engine = agent.engine
    header = JournalHeader(
        scheduler=agent.scheduler,
        profile=engine.profile,
        speed=engine.speed,
        seed=engine.seed,
        replica=agent.replica,
    )
    return json.dumps(header.to_json_dict(), separators=(",", ":"))


def _line(record: IterationRecord) -> str:
    return json.dumps(record.to_json_dict(), separators=(",", ":"))
