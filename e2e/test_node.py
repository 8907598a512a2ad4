"""The node that the other tests stand on is a real one: addresses, DNS, Services, Pod Security, and its own death."""

import urllib.request

import pytest

from e2e import audit
from e2e.cluster import Cluster
from e2e.kubectl import Kubectl, Manifest
from e2e.node import Node
from e2e.programs import ProgramError
from e2e.waiting import eventually

RESTRICTED: Manifest = {
    "runAsNonRoot": True,
    "runAsUser": 65532,
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
    "readOnlyRootFilesystem": True,
}
SERVE = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8080, bind='0.0.0.0')"


def a_pod(name: str, *, image: str, code: str) -> Manifest:
    container = {"name": "main", "image": image, "command": ["python3", "-uc", code], "securityContext": RESTRICTED}
    metadata = {"name": name, "labels": {"app": name}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"containers": [container], "restartPolicy": "Always", "terminationGracePeriodSeconds": 0},
    }


def a_service(name: str, *, pods: str) -> Manifest:
    # Not named like a pod: to itself a pod's name is its own address, not the Service's.
    spec = {"selector": {"app": pods}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def serving(kubectl: Kubectl, cluster: Cluster) -> str:
    """Run a web server behind a Service and return the Service's address."""
    kubectl.apply(a_pod("web", image=cluster.images.base, code=SERVE), a_service("site", pods="web"))
    kubectl.wait("pod/web", until="condition=Ready", within=60)
    address = str(kubectl.get("service", "site")["spec"]["clusterIP"])
    eventually(lambda: answers(address), within=10)
    return address


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def test_every_node_is_ready(cluster: Cluster) -> None:
    for node in cluster.kubectl.items("nodes"):
        conditions = {condition["type"]: condition["status"] for condition in node["status"]["conditions"]}
        assert conditions["Ready"] == "True"


def test_a_restricted_pod_runs_python_and_resolves_cluster_dns(cluster: Cluster, kubectl: Kubectl) -> None:
    code = "import socket, time; print(socket.gethostbyname('kubernetes.default.svc.cluster.local')); time.sleep(600)"
    kubectl.apply(a_pod("asks", image=cluster.images.base, code=code))
    kubectl.wait("pod/asks", until="condition=Ready", within=60)
    address = cluster.kubectl.get("service", "kubernetes")["spec"]["clusterIP"]
    assert eventually(lambda: kubectl.logs("asks"), within=10).strip() == address


def test_a_pod_that_is_not_restricted_is_refused(cluster: Cluster, kubectl: Kubectl) -> None:
    with pytest.raises(ProgramError, match="violates PodSecurity"):
        kubectl("run", "bare", f"--image={cluster.images.base}")


@pytest.mark.usefixtures("node")  # the network of another's cluster need not reach the host
def test_a_service_is_reached_from_the_host_and_from_a_pod_by_name(cluster: Cluster, kubectl: Kubectl) -> None:
    assert answers(serving(kubectl, cluster))
    code = "import urllib.request as u; print(u.urlopen('http://site').status)"
    assert kubectl("exec", "pod/web", "--", "python3", "-c", code).strip() == "200"


def test_a_killed_container_is_started_again(cluster: Cluster, kubectl: Kubectl, node: Node) -> None:
    address = serving(kubectl, cluster)
    node.kill_container(kubectl.get("pod", "web")["status"]["containerStatuses"][0]["containerID"])
    eventually(lambda: kubectl.get("pod", "web")["status"]["containerStatuses"][0]["restartCount"] == 1, within=20)
    eventually(lambda: answers(address), within=20)


def test_pods_serve_while_the_api_server_is_down(cluster: Cluster, kubectl: Kubectl, node: Node) -> None:
    address = serving(kubectl, cluster)
    with node.api_server_down():
        with pytest.raises(ProgramError, match="refused"):
            kubectl("get", "pods")
        assert answers(address)
    assert kubectl.get("pod", "web")["status"]["phase"] == "Running"


def test_a_node_that_was_cut_off_comes_back_with_its_pods(cluster: Cluster, kubectl: Kubectl, node: Node) -> None:
    address = serving(kubectl, cluster)
    node.stop()
    node.start()
    eventually(lambda: answers(address), within=30)


def test_requests_to_the_api_server_are_counted(kubectl: Kubectl, node: Node) -> None:
    kubectl("get", "configmaps")
    seen = list(audit.requests(node.logs / "audit.log", user="admin"))
    assert [request for request in seen if request.namespace == kubectl.namespace and request.resource == "configmaps"]
