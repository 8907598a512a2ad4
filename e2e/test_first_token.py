"""Scenario 1: from `helm install` to the first token of the smallest manifest."""

import asyncio
import time

from niyama_client import Client

from e2e.declared_clusters import NiyamaCluster
from e2e.figures import Figures
from e2e.installation import Installation
from e2e.kubectl import Kubectl
from e2e.programs import ROOT
from e2e.waiting import eventually


async def first_token(address: str) -> None:
    async with Client(address) as client:
        async for _ in client.generate("Hello", max_tokens=1, timeout=60):
            return


def test_the_smallest_manifest_serves(niyama: Installation, namespace: Kubectl, figures: Figures) -> None:
    cluster = NiyamaCluster(namespace, "minimal")
    steps = {f"helm install {chart}": seconds for chart, seconds in niyama.seconds.items()}
    began = time.monotonic()

    def mark(step: str) -> None:
        steps[step] = time.monotonic() - began

    namespace.apply(ROOT / "examples" / "minimal.yaml")
    mark("apply")
    eventually(lambda: len(cluster.pods()) == 3, within=30)
    mark("pods made")
    namespace.wait("nyc/minimal", until="condition=Ready", within=60)
    mark("Ready")
    asyncio.run(first_token(cluster.address()))
    mark("first token")
    figures.add("1 from apply", ", ".join(f"{step} {seconds:.1f} s" for step, seconds in steps.items()))

    printed = namespace("get", "nyc")
    for heading in ("READY", "REPLICAS", "MODEL", "SLO", "REASON", "AGE"):
        assert heading in printed
    assert cluster.resource()["status"]["engine"] == "paced"
    described = namespace("describe", "nyc", "minimal")
    assert "AllReady" in described
