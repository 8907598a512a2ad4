"""Several routers of one cluster, asked one by one and told as one."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import fields, replace

from niyama_client import ClassAttainment, ClusterStatus, LoadBoardState, NiyamaError, ReplicaStatus
from niyama_client.connection import Target

from niyama_cli.router_client import router_client

__all__ = ["cluster_status", "together"]


async def cluster_status(target: Target) -> ClusterStatus:
    """Return how the cluster fares at all routers together that answer; `target` may name several with commas.

    Raises:
        NiyamaError: none of them answers.
    """
    targets = [replace(target, address=address.strip()) for address in target.address.split(",")]
    answers = await asyncio.gather(*map(_ask, targets), return_exceptions=True)
    statuses = [answer for answer in answers if isinstance(answer, ClusterStatus)]
    for answer in answers:
        if isinstance(answer, BaseException) and not (statuses and isinstance(answer, NiyamaError)):
            raise answer
    return together(statuses)


def together(statuses: Sequence[ClusterStatus]) -> ClusterStatus:
    """Return what the routers say as one: counts added up, each replica as the router says that heard of it last."""
    first = statuses[0]
    disconnected = [status for status in statuses if status.load_board is not LoadBoardState.CONNECTED]
    return replace(
        first,
        router=", ".join(status.router for status in statuses),
        load_board=(disconnected or [first])[0].load_board,
        classes=_sum_classes(row for status in statuses for row in status.classes),
        replicas=_merge_replicas(replica for status in statuses for replica in status.replicas),
    )


async def _ask(target: Target) -> ClusterStatus:
    async with router_client(target) as client:
        return await client.status()


def _sum_classes(rows: Iterable[ClassAttainment]) -> tuple[ClassAttainment, ...]:
    by_name: dict[str, ClassAttainment] = {}
    for row in rows:
        known = by_name.get(row.qos_class)
        by_name[row.qos_class] = row if known is None else _sum(known, row)
    return tuple(by_name.values())


def _sum(one: ClassAttainment, other: ClassAttainment) -> ClassAttainment:
    counts = [field.name for field in fields(one) if field.name.startswith("num_")]
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in counts})


def _merge_replicas(replicas: Iterable[ReplicaStatus]) -> tuple[ReplicaStatus, ...]:
    by_name: dict[str, list[ReplicaStatus]] = {}
    for replica in replicas:
        by_name.setdefault(replica.load.replica, []).append(replica)
    return tuple(map(_merge, by_name.values()))


def _merge(seen: Sequence[ReplicaStatus]) -> ReplicaStatus:
    heard = [replica for replica in seen if replica.load_age is not None] or seen
    latest = min(heard, key=lambda replica: replica.load_age or 0.0)
    return replace(latest, num_open=sum(replica.num_open for replica in seen))
