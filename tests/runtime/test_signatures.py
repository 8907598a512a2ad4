"""Signatures: whom they trust, and that one kind of message is never taken for another."""

from pathlib import Path

import pytest
from niyama_runtime.signatures import SignatureError, Signer, SigningKeyError, read_key

KEY = b"k" * 32


def test_what_was_signed_is_opened_by_whoever_has_the_key() -> None:
    assert Signer(KEY, purpose="lease").open(Signer(KEY, purpose="lease").sign(b"content")) == b"content"


@pytest.mark.parametrize("signer", [Signer(None, purpose="lease"), Signer(b"o" * 32, purpose="lease")])
def test_what_was_signed_otherwise_is_refused(signer: Signer) -> None:
    with pytest.raises(SignatureError):
        Signer(KEY, purpose="lease").open(signer.sign(b"content"))


def test_one_key_does_not_make_a_message_of_one_kind_pass_for_another() -> None:
    with pytest.raises(SignatureError):
        Signer(KEY, purpose="lease").open(Signer(KEY, purpose="resume").sign(b"content"))


def test_a_key_that_is_missing_or_short_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SigningKeyError, match=r"cannot read .*gone"):
        read_key(tmp_path / "gone")
    (tmp_path / "short").write_text("secret\n")
    with pytest.raises(SigningKeyError, match=r"short holds 6 bytes: a key has at least 32"):
        read_key(tmp_path / "short")
    (tmp_path / "key").write_bytes(KEY + b"\n")
    assert read_key(tmp_path / "key") == KEY
