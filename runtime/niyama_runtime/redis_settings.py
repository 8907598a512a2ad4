"""Where Redis is, as configuration files say it; for those that read it and never connect, apart from connections."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["RedisSettings", "RedisSettingsError"]


class RedisSettingsError(ValueError):
    """URL or password file make no sense; the message says how to mend them."""


@dataclass(frozen=True, slots=True)
class RedisSettings:
    """Where Redis is.

    Attributes:
        url: redis://HOST:PORT, rediss://HOST:PORT (TLS; `?ssl_ca_certs=FILE` names the roots) or unix:///PATH, with
            USER@ for an ACL user. redis-sentinel://HOST:PORT,HOST:PORT/MASTER asks Sentinels for the master, and
            redis-cluster://HOST:PORT,HOST:PORT nodes for the one that has the keys; with rediss- all by TLS.
        password_file: holds the password; read again for each new connection, so that it can be changed.
        timeout: seconds that one use may take, connecting included.
    """

    url: str
    password_file: Path | None = None
    timeout: float = 0.5
