"""Replicas behind HTTP, as routers that speak the OpenAI protocol want them; and a client of such a router.

The front gives a replica what it asks for, `/v1/completions` with a stream of events, and passes each request on to the
replica's own gRPC, with class, importance and length taken from the field `user`. So the replica schedules by promises
just as it does behind our router: what differs is only who chose the replica.

`python -m bench.http_front CLUSTER.yaml ADDRESS...` prints the URL of each front, and serves until it is killed.
"""

import asyncio
import json
import sys
import time
from array import array
from pathlib import Path

import aiohttp
import grpc
import yaml
from aiohttp import web
from niyama.v1 import generation_pb2, replica_pb2, replica_pb2_grpc
from niyama_cli.filler_text import FillerText
from niyama_core.cluster_spec import parse_cluster
from niyama_core.slo import Importance, Promise, QosClasses
from niyama_eval.outcomes import OutcomeState, RequestOutcome
from niyama_eval.workloads import WorkloadRequest
from niyama_runtime import wire
from niyama_runtime.grpc_channel import open_channel

__all__ = ["HttpVisitor"]

BYTES_PER_TOKEN = 4.0
_END = b"data: [DONE]"


class Front:
    """The HTTP front of one replica."""

    def __init__(self, address: str, classes: QosClasses) -> None:
        self._stub: replica_pb2_grpc.ReplicaAsyncStub = replica_pb2_grpc.ReplicaStub(open_channel(address))
        self._classes = classes

    def app(self) -> web.Application:
        """Return the application that serves it."""
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/completions", self.complete)
        app.router.add_get("/v1/models", self.models)
        app.router.add_get("/health", self.health)
        return app

    async def health(self, request: web.Request) -> web.Response:
        """Say that the replica is there."""
        return web.Response()

    async def models(self, request: web.Request) -> web.Response:
        """Say what it serves."""
        return web.json_response({"object": "list", "data": [{"id": "bench", "object": "model", "owned_by": "bench"}]})

    async def complete(self, request: web.Request) -> web.StreamResponse:
        """Stream an answer: one event for each message, with the instants at which its tokens were emitted."""
        arrival = time.monotonic()
        asked = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            async for event in self._stub.Generate(self._asked(asked)):
                if event.HasField("tokens"):
                    emitted = [arrival + microseconds / 1e6 for microseconds in event.tokens.emitted_us]
                    choice = {"index": 0, "text": event.tokens.text, "finish_reason": None}
                    document = {"object": "text_completion", "choices": [choice], "emitted": emitted}
                    await response.write(b"data: " + json.dumps(document).encode() + b"\n\n")
                elif event.HasField("completion"):
                    await response.write(_END + b"\n\n")
        except grpc.aio.AioRpcError as error:
            await response.write(b"data: " + json.dumps({"error": error.code().name}).encode() + b"\n\n")
        return response

    def _asked(self, asked: dict[str, str]) -> replica_pb2.ReplicaGenerateRequest:
        said = json.loads(asked["user"])
        declared = self._classes.by_name[said["class"]].promise()
        promise = Promise(declared.qos_class, declared.slo, Importance(said["importance"]), declared.on_overload)
        return replica_pb2.ReplicaGenerateRequest(
            request=generation_pb2.GenerateRequest(
                request_id=said["id"], prompt=asked["prompt"], replay_output_tokens=said["length"]
            ),
            promise=wire.promise_to_wire(promise),
            elapsed=wire.duration_to_wire(0.0),
        )


class HttpVisitor:
    """Sends requests of a workload to an HTTP router and tells what came of them.

    Args:
        url: of the router.
        session: by which it is spoken to.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self._url = f"{url}/v1/completions"
        self._session = session
        self._text = FillerText(BYTES_PER_TOKEN)

    async def send(self, request: WorkloadRequest) -> RequestOutcome:
        """Send one request; times count from here, as a router of ours counts from its door."""
        promise, emitted, state = request.promise, array("d"), OutcomeState.FAILED
        said = {
            "id": request.request_id,
            "class": promise.qos_class,
            "importance": promise.importance.value,
            "length": request.num_output_tokens,
        }
        document = {
            "model": "bench",
            "prompt": self._text.prompt(request.request_id, request.num_prompt_tokens),
            "max_tokens": request.num_output_tokens,
            "stream": True,
            "user": json.dumps(said),
        }
        began = time.monotonic()
        try:
            async with self._session.post(self._url, json=document) as response:
                async for line in response.content:
                    if line.startswith(_END):
                        state = OutcomeState.COMPLETED
                    elif line.startswith(b"data: "):
                        emitted.extend(at - began for at in json.loads(line[6:]).get("emitted", ()))
                if response.status in (429, 503):
                    state = OutcomeState.REJECTED
        except aiohttp.ClientError:
            state = OutcomeState.FAILED
        return RequestOutcome.of(request, state, emitted=emitted)


async def main() -> None:
    """Serve a front for each replica for ever."""
    manifest = await asyncio.to_thread(Path(sys.argv[1]).read_text)
    classes = parse_cluster(yaml.safe_load(manifest)).qos_classes
    urls = []
    for address in sys.argv[2:]:
        runner = web.AppRunner(Front(address, classes).app(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        urls.append(f"http://127.0.0.1:{runner.addresses[0][1]}")
    print(json.dumps(urls), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
