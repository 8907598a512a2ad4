"""Which images the tests run, and how they come to be where there is no registry."""

import os
from collections.abc import Iterator
from dataclasses import astuple, dataclass

from e2e.programs import run

__all__ = ["Images", "build_images", "published_images"]

BASE = "localhost/niyama-base:bookworm"
TAG = "e2e"


@dataclass(frozen=True, slots=True)
class Images:
    """The names of all images that pods of the tests are made from."""

    operator: str
    router: str
    agent: str
    redis: str
    base: str

    def __iter__(self) -> Iterator[str]:
        """Yield the name of each."""
        return iter(astuple(self))


def build_images() -> Images:
    """Build all images from this checkout, on a Debian made on the spot; minutes when it is the first time."""
    run("make", "images-debian", "images", "REGISTRY=localhost", f"TAG={TAG}", f"BASE_IMAGE={BASE}", seconds=1200)
    return _images("localhost", TAG, redis="localhost/valkey:e2e", base=BASE)


def published_images() -> Images:
    """Name the images that a cluster of one's own can pull: REGISTRY and TAG say where they were pushed."""
    registry, tag = os.environ.get("REGISTRY", "localhost"), os.environ.get("TAG", "0.1.0")
    return _images(registry, tag, redis="docker.io/valkey/valkey:8.1-alpine", base="python:3.11-slim")


def _images(registry: str, tag: str, *, redis: str, base: str) -> Images:
    operator, router, agent = (f"{registry}/niyama-{role}:{tag}" for role in ("operator", "router", "agent"))
    return Images(operator=operator, router=router, agent=agent, redis=redis, base=base)
