"""The rules that decide about requests: classes, placement and limits, which may change while the router runs."""

from dataclasses import dataclass

from niyama_core.door import Door
from niyama_core.manifest_reader import ManifestReader
from niyama_core.placement import PLACEMENTS, Placement, build_placement
from niyama_core.qos_section import read_classes
from niyama_core.slo import QosClasses

__all__ = ["LiveRules", "Rules", "read_rules"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides about requests, and may change while the router runs.

    Attributes:
        model: served model name; empty accepts any.
        max_output_tokens: the most tokens that one request may generate.
        context_tokens: the longest prompt plus answer; 0 believes what the replicas report.
        classes: the QoS classes.
        placement: name of the placement policy.
        num_routers: how many routers place on the same replicas, this one included.
        policy: name of the replicas' scheduling policy, for those who ask.
        max_moves: how often a relegated request may be moved.
        placement_wait: seconds that a request waits for a replica to come.
        drain_grace: seconds that streams may go on after SIGTERM.
        replay: takes `replay_output_tokens`.
    """

    model: str
    max_output_tokens: int
    context_tokens: int
    classes: QosClasses
    placement: str
    num_routers: int
    policy: str
    max_moves: int
    placement_wait: float
    drain_grace: float
    replay: bool

    def build_placement(self) -> Placement:
        """Return a new placement policy."""
        return build_placement(self.placement, self.classes, num_routers=self.num_routers)


class LiveRules:
    """The rules in force; requests that arrive after a change go by the new ones.

    Attributes:
        rules: as they are.
        placement: the placement policy that they name.
        door: who refuses; it remembers who shall come back, whatever rules change.
    """

    def __init__(self, rules: Rules) -> None:
        """Begin with `rules`."""
        self.door = Door(rules.num_routers)
        self.apply(rules)

    def apply(self, rules: Rules) -> None:
        """Put `rules` into force."""
        self.door.num_routers = rules.num_routers
        self.rules = rules
        self.placement: Placement = rules.build_placement()


def read_rules(reader: ManifestReader) -> Rules:
    """Read the rules out of a configuration, among whose fields they stand."""
    placement = reader.text("placement", "niyama")
    if placement not in PLACEMENTS:
        reader.problem("placement", f"{placement!r} is unknown: choose one of {', '.join(PLACEMENTS)}")
    return Rules(
        model=reader.text("model"),
        max_output_tokens=reader.integer("maxOutputTokens", 4096, least=1, most=1_000_000),
        context_tokens=reader.integer("contextTokens", 0, least=0, most=100_000_000),
        classes=read_classes(reader),
        placement=placement,
        num_routers=reader.integer("numRouters", 1, least=1, most=1000),
        policy=reader.text("policy", "niyama"),
        max_moves=reader.integer("maxMoves", 2, least=0, most=100),
        placement_wait=reader.duration("placementWait", 5.0),
        drain_grace=reader.duration("drainGrace", 30.0),
        replay=reader.flag("replay", False),
    )
