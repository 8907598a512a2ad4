"""What one generation has said so far. Does no I/O: messages go in, tokens come out.

It holds the stream to the contract: tokens in order and none twice, whatever retries lie between.
"""

from niyama.v1 import generation_pb2
from niyama_runtime.wire import WireError

from niyama_client.answers import (
    Accepted,
    Completion,
    Token,
    accepted_from_wire,
    completion_from_wire,
    tokens_from_wire,
)
from niyama_client.errors import broken_contract

__all__ = ["Transcript"]


class Transcript:
    """The record of one generation.

    Attributes:
        accepted: what the router promised, once it has.
        tokens: delivered so far, in order.
        is_relegated: whether the server has said that the promise can no longer be kept.
        completion: what happened in the end, once it has.
    """

    def __init__(self) -> None:
        self.accepted: Accepted | None = None
        self.tokens: list[Token] = []
        self.is_relegated = False
        self.completion: Completion | None = None

    def take(self, message: generation_pb2.GenerateResponse) -> list[Token]:
        """Take in one message and return the tokens that it brings; kinds that are not known are passed over.

        Raises:
            ServerError: the message breaks the contract.
        """
        try:
            match message.WhichOneof("event"):
                case "tokens":
                    return self._take_tokens(message.tokens)
                case "accepted":
                    self.accepted = accepted_from_wire(message.accepted)
                case "relegated":
                    self.is_relegated = True
                case "completion":
                    self.completion = completion_from_wire(message.completion)
                case _:
                    pass
        except WireError as error:
            raise broken_contract(f"the server sent a message that cannot be read: {error}", self.tokens) from error
        return []

    def resume(self) -> generation_pb2.Resume | None:
        """Return with what the answer goes on where it broke off; None when it begins anew, or cannot go on."""
        if not self.tokens or self.accepted is None or not self.accepted.resume_token:
            return None
        return generation_pb2.Resume(token=self.accepted.resume_token, token_ids=[token.id for token in self.tokens])

    def end(self) -> None:
        """Take in that the stream ended without an error.

        Raises:
            ServerError: nothing has said what happened to the request.
        """
        if self.completion is None:
            raise broken_contract("the stream ended without saying what happened to the request", self.tokens)

    def _take_tokens(self, message: generation_pb2.Tokens) -> list[Token]:
        if message.position != len(self.tokens):
            raise broken_contract(f"token {message.position} came where token {len(self.tokens)} was due", self.tokens)
        tokens = list(tokens_from_wire(message))
        self.tokens += tokens
        return tokens
