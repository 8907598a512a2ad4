"""A `PlaceRequest` as admission takes it: the request that it stands for, without its prompt.

What a client says of the prompt's length is believed: the replica counts it, and plans by what it has counted.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from niyama.v1 import generation_pb2, inference_pb2
from niyama_runtime.status import FieldViolation

from niyama_router.request_checks import Limits, check_frame

__all__ = ["as_generate_request", "check_place", "estimate_tokens", "renamed"]

_FIELDS: Mapping[str, str] = {"prompt": "num_prompt_tokens", "resume.token": "resume_token"}


def as_generate_request(place: inference_pb2.PlaceRequest) -> generation_pb2.GenerateRequest:
    """Return the request that is to be placed."""
    request = generation_pb2.GenerateRequest(
        request_id=place.request_id, max_tokens=place.max_tokens or None, qos=place.qos, app=place.app
    )
    if place.resume_token:
        request.resume.token = place.resume_token
    return request


def estimate_tokens(place: inference_pb2.PlaceRequest, bytes_per_token: float) -> int:
    """Return how many tokens are to be computed before the next one of the answer."""
    return place.num_prompt_tokens + math.ceil(place.num_prompt_bytes / bytes_per_token)


def check_place(
    request: generation_pb2.GenerateRequest, limits: Limits, *, num_prompt_tokens: int
) -> Iterator[FieldViolation]:
    """Yield what is wrong with a request that is to be placed."""
    if num_prompt_tokens < 1:
        yield FieldViolation("num_prompt_tokens", "is 0: say how long the prompt is, in tokens or in bytes")
    yield from check_frame(request, limits, num_prompt_tokens=num_prompt_tokens)


def renamed(violation: FieldViolation) -> FieldViolation:
    """Return what is wrong by the names of the fields of a `PlaceRequest`."""
    return replace(violation, field=_FIELDS.get(violation.field, violation.field))
