"""What `niyama status` and `niyama up` show fits the narrowest terminal that people use, and leaves nobody out."""

from collections.abc import Mapping
from dataclasses import replace

from niyama_cli.status_tables import status_view
from niyama_client import ClassAttainment, ClusterStatus, LoadBoardState, ReplicaStatus
from niyama_core.load import ClassLoad, ReplicaLoad
from rich.console import Console

BUSY = ClassAttainment(
    qos_class="summarise",
    num_requests=620_000,
    num_completed=571_234,
    num_on_time=560_000,
    num_rejected=1_234,
    num_failed=42,
    num_cancelled=5_678,
    num_relegated=43_210,
    num_moved=17,
    num_deadline_tokens=1000,
    num_late_tokens=123,
)
LOAD = ReplicaLoad(
    "replica-10",
    "localhost:1",
    classes={"summarise": ClassLoad(num_queued=12_345, num_decoding=256, num_relegated=678)},
    tightest_slack=-123.4,
    kv_used_tokens=999,
    kv_free_tokens=1,
)


def a_status(*rows: ClassAttainment, load: ReplicaLoad = LOAD) -> ClusterStatus:
    seen = ReplicaStatus(load, 2.5, True, 12_345)
    return ClusterStatus("default/llama", "router-0", "niyama", "niyama", LoadBoardState.CONNECTED, rows, (seen,))


def shown(status: ClusterStatus) -> str:
    """Return what a terminal of 80 columns shows."""
    console = Console(width=80)
    with console.capture() as capture:
        console.print(status_view(status))
    return capture.get()


def figures(said: str, name: str) -> Mapping[str, str]:
    """Return the figures of a class by their labels, of which some have two words."""
    lines = said.replace("on time", "on-time").replace(" %", "%").splitlines()
    labels = next(line.split() for line in lines if line.startswith("class "))
    return dict(zip(labels, next(line.split() for line in lines if line.startswith(f"{name} ")), strict=True))


def test_a_busy_cluster_fits_80_columns() -> None:
    said = shown(a_status(BUSY, replace(BUSY, qos_class="chat")))
    assert "…" not in said
    assert figures(said, "summarise")["requests"] == "620,000"
    assert "12,345/256/678" in said
    assert "moved to another replica: summarise 17, chat 17" in " ".join(said.split())


def test_every_end_of_a_request_is_counted() -> None:
    row = figures(shown(a_status(BUSY)), "summarise")
    assert {name: row[name] for name in ("completed", "rejected", "failed", "cancelled", "relegated")} == {
        "completed": "571,234",
        "rejected": "1,234",
        "failed": "42",
        "cancelled": "5,678",
        "relegated": "43,210",
    }
    assert (row["on-time"], row["late"]) == ("97.8%", "12.3%")
