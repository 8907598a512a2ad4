"""TLS for gRPC from files, for both ends, with mutual authentication where it is asked for.

Without files a connection is insecure; that is the default on a laptop. Files are checked when they are read, so
that a wrong one is an error that names it and not a failed handshake later.
"""

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

__all__ = ["ClientTls", "ServerTls", "TlsError", "channel_credentials", "server_credentials"]


class TlsError(Exception):
    """A certificate or key cannot be used; the message names the file."""


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server shows, and whose certificates it demands.

    Attributes:
        certificate: PEM chain of the server.
        key: PEM key that belongs to it.
        client_ca: PEM roots; when set, clients must show a certificate that one of them signed.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class ClientTls:
    """Whom a client trusts, and what it shows.

    Attributes:
        ca: PEM roots; the system's when left out.
        certificate: PEM chain of the client, for servers that demand one.
        key: PEM key that belongs to it.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


def server_credentials(tls: ServerTls) -> grpc.ServerCredentials:
    """Return credentials that follow the files: certificates that are renewed on disk are used from then on.

    Raises:
        TlsError: a file is missing, is no PEM, or key and certificate do not belong together.
    """
    files = _ServerFiles(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.read(), files.latest, require_client_authentication=tls.client_ca is not None
    )


def channel_credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    """Return credentials for a channel.

    Raises:
        TlsError: a file is missing, is no PEM, or key and certificate do not belong together.
    """
    certificate, key = tls.certificate, tls.key
    if (certificate is None) != (key is None):
        raise TlsError("a client certificate needs its key, and a key its certificate")
    if certificate is not None and key is not None:
        _check_pair(certificate, key)
    return grpc.ssl_channel_credentials(
        root_certificates=_roots(tls.ca),
        private_key=_read(key) if key else None,
        certificate_chain=_read(certificate) if certificate else None,
    )


class _ServerFiles:
    """The server's files, read again for every handshake."""

    def __init__(self, tls: ServerTls) -> None:
        self._tls = tls
        self._last_good: grpc.ServerCertificateConfiguration | None = None

    def read(self) -> grpc.ServerCertificateConfiguration:
        """Return the configuration as the files have it."""
        tls = self._tls
        _check_pair(tls.certificate, tls.key)
        self._last_good = grpc.ssl_server_certificate_configuration(
            [(_read(tls.key), _read(tls.certificate))], root_certificates=_roots(tls.client_ca)
        )
        return self._last_good

    def latest(self) -> grpc.ServerCertificateConfiguration:
        """Return the newest configuration that was whole: files are replaced one after the other."""
        try:
            return self.read()
        except TlsError:
            if self._last_good is None:
                raise
            return self._last_good


def _roots(ca: Path | None) -> bytes | None:
    if ca is None:
        return None
    pem = _read(ca)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca)
    except (ssl.SSLError, OSError) as error:
        raise TlsError(f"{ca} holds no PEM certificate of an authority") from error
    return pem


def _check_pair(certificate: Path, key: Path) -> None:
    for file in (certificate, key):
        _read(file)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise TlsError(f"{certificate} and {key} are no PEM certificate with its unencrypted key: {error}") from error


def _no_password() -> str:
    """Keep OpenSSL from asking at the terminal."""
    return ""


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError(f"cannot read {file}: {error.strerror or error}") from error
