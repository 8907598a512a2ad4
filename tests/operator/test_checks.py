"""What is wrong with a cluster, and in which order it is told."""

from niyama_operator.checks import FindingReason, check_all
from niyama_operator.pods import TroubleKind

from tests.operator.builders import a_blueprint, a_deployment, a_pod, a_view, an_observation, trouble


def reasons(*pods: object, **fields: object) -> list[FindingReason]:
    findings = check_all(a_blueprint(), an_observation(*pods, **fields))  # type: ignore[arg-type]
    return [finding.reason for finding in findings]


def test_a_cluster_that_serves_has_no_findings() -> None:
    assert reasons(a_pod(), view=a_view()) == []


def test_pods_that_fare_alike_are_told_as_one() -> None:
    pods = [a_pod(f"p{i}", ready=False, trouble=trouble(TroubleKind.IMAGE, "no such image")) for i in range(3)]
    (finding,) = check_all(a_blueprint(), an_observation(*pods))
    assert finding.reason is FindingReason.IMAGE_PULL_FAILED
    assert finding.message == "p0 and 2 more: no such image"


def test_what_must_be_mended_first_is_told_first() -> None:
    crashed = a_pod("a", trouble=trouble(TroubleKind.CRASH))
    without_image = a_pod("b", trouble=trouble(TroubleKind.IMAGE))
    refused = a_deployment(status={"conditions": [{"type": "ReplicaFailure", "status": "True", "message": "quota"}]})
    assert reasons(crashed, without_image, objects=[refused], view=a_view(num_without_board=1)) == [
        FindingReason.PODS_REFUSED,
        FindingReason.IMAGE_PULL_FAILED,
        FindingReason.REDIS_UNAVAILABLE,
    ]


def test_a_pod_that_is_ending_is_no_trouble_any_more() -> None:
    assert reasons(a_pod(ending=True, trouble=trouble(TroubleKind.CRASH))) == []


def test_a_volume_that_is_missing_is_told_in_the_words_of_the_event() -> None:
    problems = {"llama-replica-a": 'MountVolume.SetUp failed: secret "redis" not found'}
    (finding,) = check_all(a_blueprint(), an_observation(a_pod(pending=True), mount_problems=problems))
    assert finding.reason is FindingReason.MOUNT_FAILED
    assert 'secret "redis" not found' in finding.message
