"""What was observed of one cluster at one moment: values, on which checks, rollout and status decide."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from niyama_operator.manifests.blueprint import Manifest, Role
from niyama_operator.pods import Pod

__all__ = ["ClassFigures", "Observation", "RouterView"]


@dataclass(frozen=True, slots=True)
class ClassFigures:
    """How the requests of one class have fared lately, over all routers."""

    qos_class: str
    num_requests: int
    num_on_time: int

    @property
    def attainment(self) -> float:
        """The share that kept its promise; 1 without any."""
        return self.num_on_time / self.num_requests if self.num_requests else 1.0


@dataclass(frozen=True, slots=True)
class RouterView:
    """What routers say of their cluster.

    Attributes:
        classes: how each class has fared lately.
        num_live: open requests of each replica that a router knows.
        num_asked: routers that answered.
        num_without_board: of those, the ones that do not reach Redis.
    """

    classes: Sequence[ClassFigures] = ()
    num_live: Mapping[str, int] = field(default_factory=dict)
    num_asked: int = 0
    num_without_board: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """What there is of a cluster.

    Attributes:
        objects: the owned objects.
        pods: those that have not ended.
        mount_problems: what events say of pods that wait for their volumes, by pod.
        view: what routers say; None when nobody has been asked yet.
    """

    objects: Sequence[Manifest]
    pods: Sequence[Pod]
    mount_problems: Mapping[str, str] = field(default_factory=dict)
    view: RouterView | None = None

    def find(self, kind: str, name: str) -> Manifest | None:
        """Return an owned object, if it is there."""
        for item in self.objects:
            if item["kind"] == kind and item["metadata"]["name"] == name:
                return item
        return None

    def of_role(self, role: Role) -> list[Pod]:
        """Return a role's pods that have not been told to end."""
        return [pod for pod in self.pods if pod.role is role and not pod.ending]

    def num_ready(self, role: Role) -> int:
        """Return how many pods of a role serve."""
        return sum(pod.ready for pod in self.of_role(role))
