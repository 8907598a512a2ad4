"""Signed messages that pass through hands which must not change them: HMAC-SHA256 before the content.

Whoever signs and whoever reads share a key, in a file. Each kind of message has a purpose, which is signed with it, so
that one kind is never taken for another even where a cluster has one key for all. Without a key nothing is signed.
"""

import hashlib
import hmac
from pathlib import Path

__all__ = ["SignatureError", "Signer", "SigningKeyError", "read_key"]

_MAC_BYTES = 32
_LEAST_KEY_BYTES = 32


class SigningKeyError(Exception):
    """A key cannot be used; the message names its file."""


class SignatureError(Exception):
    """A message has not been signed with this key for this purpose."""


def read_key(file: Path) -> bytes:
    """Return the key that a file holds.

    Raises:
        SigningKeyError: it cannot be read, or is too short to be one.
    """
    try:
        key = file.read_bytes().strip()
    except OSError as error:
        raise SigningKeyError(f"cannot read {file}: {error.strerror or error}") from error
    if len(key) < _LEAST_KEY_BYTES:
        raise SigningKeyError(f"{file} holds {len(key)} bytes: a key has at least {_LEAST_KEY_BYTES}")
    return key


class Signer:
    """Signs messages of one kind, and opens them.

    Args:
        key: shared by all who sign and read; None to sign nothing.
        purpose: what the messages are for.
    """

    def __init__(self, key: bytes | None, *, purpose: str) -> None:
        """Keep the key."""
        self._key = key
        self._purpose = purpose.encode() + b"\0"

    def sign(self, content: bytes) -> bytes:
        """Return the content with its signature."""
        return self._mac(content) + content

    def open(self, message: bytes) -> bytes:
        """Return the content of a signed message.

        Raises:
            SignatureError: it is not signed so.
        """
        num_bytes = 0 if self._key is None else _MAC_BYTES
        mac, content = message[:num_bytes], message[num_bytes:]
        if not hmac.compare_digest(mac, self._mac(content)):
            raise SignatureError("the signature is missing or wrong")
        return content

    def _mac(self, content: bytes) -> bytes:
        return b"" if self._key is None else hmac.digest(self._key, self._purpose + content, hashlib.sha256)
