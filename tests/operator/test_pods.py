"""Why a pod does not serve, read out of the places where Kubernetes says so."""

from typing import Any

import pytest
from niyama_operator.manifests.blueprint import Role
from niyama_operator.pods import TroubleKind, read_pod

CREATED = "2026-01-01T00:00:00Z"
AT = 1767225600.0


def a_document(*, status: dict[str, Any] | None = None, **metadata: Any) -> dict[str, Any]:  # noqa: ANN401
    labels = {"app.kubernetes.io/component": "replica", "pod-template-hash": "abc"}
    named = {"name": "llama-replica-1", "uid": "u", "creationTimestamp": CREATED, "labels": labels}
    return {"metadata": named | metadata, "status": {"phase": "Running", **(status or {})}}


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"containerStatuses": [{"image": "some:1", "state": {"waiting": {"reason": reason, "message": message}}}]}


def test_a_pod_that_serves_has_no_trouble() -> None:
    status = {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}]}
    pod = read_pod(a_document(status=status), AT + 5)
    assert pod is not None
    assert (pod.role, pod.address, pod.ready, pod.age, pod.trouble) == (Role.REPLICA, "10.0.0.9", True, 5.0, None)


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (waiting("ImagePullBackOff", "Back-off pulling"), TroubleKind.IMAGE, "some:1: Back-off pulling"),
        (waiting("ErrImageNeverPull"), TroubleKind.IMAGE, "some:1: ErrImageNeverPull"),
        (waiting("CreateContainerConfigError", 'secret "hf" not found'), TroubleKind.CONFIG, 'secret "hf" not found'),
    ],
)
def test_a_container_that_waits_says_why(status: dict[str, Any], kind: TroubleKind, words: str) -> None:
    pod = read_pod(a_document(status=status), AT)
    assert pod is not None
    assert pod.trouble is not None
    assert (pod.trouble.kind, pod.trouble.message) == (kind, words)


def test_a_crash_is_told_with_the_last_line_that_the_container_wrote() -> None:
    ended = {"exitCode": 1, "reason": "Error", "message": "Traceback\nniyama-agent: engine.model: no such model\n"}
    container = {
        "state": {"waiting": {"reason": "CrashLoopBackOff"}},
        "lastState": {"terminated": ended},
        "restartCount": 3,
    }
    pod = read_pod(a_document(status={"containerStatuses": [container]}), AT)
    assert pod is not None
    assert pod.trouble is not None
    assert pod.trouble.kind is TroubleKind.CRASH
    assert pod.trouble.message == "exit status 1 after 3 restarts: niyama-agent: engine.model: no such model"


def test_a_pod_that_crashed_once_and_serves_again_has_no_trouble() -> None:
    container = {"ready": True, "state": {"running": {}}, "lastState": {"terminated": {"exitCode": 137}}}
    pod = read_pod(a_document(status={"containerStatuses": [container]}), AT)
    assert pod is not None
    assert pod.trouble is None


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.", TroubleKind.GPUS),
        ("0/1 nodes are available: 1 Insufficient memory.", TroubleKind.UNSCHEDULABLE),
    ],
)
def test_a_pod_that_no_node_takes_says_what_is_short(message: str, kind: TroubleKind) -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
    pod = read_pod(a_document(status={"phase": "Pending", "conditions": [condition]}), AT)
    assert pod is not None
    assert pod.trouble is not None
    assert (pod.trouble.kind, pod.trouble.message) == (kind, message)
    assert pod.pending


def test_pods_that_ended_and_pods_of_others_are_no_pods_of_ours() -> None:
    assert read_pod(a_document(status={"phase": "Failed"}), AT) is None
    assert read_pod(a_document(labels={"app": "else"}), AT) is None


def test_a_pod_that_was_told_to_end_is_ending() -> None:
    pod = read_pod(a_document(deletionTimestamp=CREATED), AT)
    assert pod is not None
    assert pod.ending
