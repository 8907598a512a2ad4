"""Scenario 10: a replica in a pod runs the real vLLM, on processors, with a tiny model.

No image with vLLM can be had without a registry. So the replica runs the agent's image, and finds vLLM in the
environment that `make install-vllm` made, and the model, on local volumes that are mounted read-only. So is the one
library of the system that vLLM's processor build asks for and the agent's image has no use for.
"""

import asyncio
import shutil
from pathlib import Path

import pytest
from niyama_client import Client

from e2e.cluster import Cluster
from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl, Manifest
from e2e.node import Node
from e2e.programs import ROOT, run

MODEL = ROOT / "out" / "tiny-llama"
LIBRARIES = ROOT / "out" / "e2e" / "libraries"


@pytest.fixture
def vllm(node: Node) -> Path:
    """Return the folder with vLLM's packages."""
    run("make", "install-vllm", "out/tiny-llama/config.json", seconds=900)
    # Pods run as a user of their own, and the weights are written for their owner alone.
    run("chmod", "-R", "a+rX", MODEL)
    known = run("ldconfig", "-p").splitlines()
    (numa,) = {line.rpartition(" => ")[2] for line in known if "libnuma.so.1 " in line and "x86-64" in line}
    LIBRARIES.mkdir(parents=True, exist_ok=True)
    shutil.copy(numa, LIBRARIES)
    (packages,) = (ROOT / ".venv-vllm" / "lib").glob("python3*/site-packages")
    return packages


def volume(name: str, path: Path, *, node: str) -> list[Manifest]:
    """Return a local volume of the node, and the claim of it."""
    size, modes = {"storage": "10Gi"}, ["ReadOnlyMany"]
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node]}
    spec = {
        "capacity": size,
        "accessModes": modes,
        "storageClassName": "",
        "local": {"path": str(path)},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    claim = {"accessModes": modes, "storageClassName": "", "volumeName": name, "resources": {"requests": size}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": spec},
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": claim},
    ]


async def answer(address: str) -> tuple[int, str, str]:
    """Return how many tokens an answer has, what computed it, and its text."""
    async with Client(address) as client:
        generation = client.generate("Once upon a time", qos="chat", max_tokens=16, timeout=60)
        text = await generation.text()
        return generation.completion.num_output_tokens, generation.completion.engine, text


def test_a_pod_serves_a_real_model(
    niyama: Installation, cluster: Cluster, namespace: Kubectl, vllm: Path, figures: Figures
) -> None:
    name = namespace.items("nodes")[0]["metadata"]["name"]
    folders = {"vllm": vllm, "libraries": LIBRARIES, "tiny-llama": MODEL}
    namespace.apply(*(item for what, folder in folders.items() for item in volume(what, folder, node=name)))
    mounted = {"vllm": "/vllm", "libraries": "/libraries"}
    environment = {
        "PYTHONPATH": "/vllm",
        "LD_LIBRARY_PATH": "/libraries",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
    }
    small = ["--max-model-len", "2048", "--enforce-eager"]
    served = NiyamaCluster(namespace, "real").declare(
        model={"name": "/models", "servedName": "tiny", "volume": {"claimName": "tiny-llama"}},
        engine={"type": "vllm", "image": cluster.images.agent, "arguments": small},
        replicas=1,
        resources={"gpus": 0, "requests": {"cpu": "100m", "memory": "1Gi"}},
        qosClasses=[{"name": "chat", "interactive": {"ttft": "20s", "tbt": "2s"}, "default": True}],
        pods={
            "command": ["/opt/niyama/bin/python", "-m", "niyama_agent"],
            "env": [{"name": key, "value": value} for key, value in environment.items()],
            "volumes": [
                {"name": what, "persistentVolumeClaim": {"claimName": what, "readOnly": True}} for what in mounted
            ],
            "volumeMounts": [{"name": what, "mountPath": place, "readOnly": True} for what, place in mounted.items()],
        },
    )
    served.wait_settled(within=400)
    num_tokens, engine, text = asyncio.run(answer(served.address()))
    assert (num_tokens, engine) == (16, "vllm")
    assert text
    assert served.resource()["status"]["engine"] == "vllm"
    figures.add("10 a real vLLM in a pod", f"{num_tokens} tokens of {engine}")
    namespace("delete", "nyc", "real")
