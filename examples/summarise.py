"""Texts summarised by a job that needs the whole answer, and nobody waits for.

    niyama up -f examples/niyamacluster.yaml --detach
    python examples/summarise.py README.md CONTRIBUTING.md

The whole answer is promised within 45 seconds. Of low importance, the job gives way when not everything can be on
time. When the cluster refuses for want of room it says when to come back, and the client does, three times at most.
"""

import os
import sys
from pathlib import Path

from niyama_client import Batch, NiyamaError, Retries, SyncClient

ADDRESS = os.environ.get("NIYAMA_ADDRESS", "localhost:50051")


def main(paths: list[str]) -> None:
    """Summarise each file in turn."""
    with SyncClient(ADDRESS, app="example-summarise", retries=Retries(overloaded=3)) as client:
        for path in paths:
            text = Path(path).read_text(encoding="utf-8")[:20_000]
            job = client.generate(
                f"Summarise in three sentences:\n\n{text}", qos=Batch(ttlt=45.0), importance="low", max_tokens=60
            )
            print(f"{path}: {job.text()}")
            done = job.completion
            print(f"[whole answer after {done.ttlt:.3f} s, promise {'kept' if done.on_time else 'missed'}]\n")


if __name__ == "__main__":
    try:
        main(sys.argv[1:] or ["README.md"])
    except NiyamaError as error:
        sys.exit(f"{type(error).__name__}: {error}")
