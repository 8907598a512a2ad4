"""A configuration file that is watched: changes take effect without a restart, and a broken one changes nothing.

The file is read again every now and then, and its content compared: that sees edits, renames and the symbolic links
that Kubernetes swaps under a mounted ConfigMap alike, which notifications of the file system do not.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

import structlog
import yaml

__all__ = ["ConfigError", "ConfigFile"]

T = TypeVar("T")

_MAX_BYTES = 1024 * 1024  # what a ConfigMap may hold

_log = structlog.get_logger(__name__)


class ConfigError(Exception):
    """A configuration file cannot be used; the message names it and says why."""


class ConfigFile(Generic[T]):
    """A YAML or JSON file and the value that it stands for.

    Attributes:
        value: from the last version of the file that was whole.
        num_rejected: versions that were not, since the start.
    """

    def __init__(self, path: Path, parse: Callable[[Mapping[str, object]], T], *, poll_seconds: float = 1.0) -> None:
        """Load the file; `parse` makes the value of its content and raises ValueError when it is wrong.

        Raises:
            ConfigError: the file is missing, no YAML or JSON mapping, or `parse` does not take it.
        """
        self._path = path
        self._parse = parse
        self._poll_seconds = poll_seconds
        self._seen: bytes | None = _read(path)
        self.value = self._load(self._seen)
        self.num_rejected = 0

    async def changes(self) -> AsyncGenerator[T, None]:
        """Yield each new value, for ever; a version that is broken is logged, counted and passed over."""
        while True:
            await asyncio.sleep(self._poll_seconds)
            if self.check():
                yield self.value

    def check(self) -> bool:
        """Read the file; return whether `value` has been renewed. Never fails."""
        seen, self._seen = self._seen, None
        try:
            self._seen = _read(self._path)
            if self._seen == seen:
                return False
            self.value = self._load(self._seen)
        except ConfigError as error:
            self._reject(error, is_new=self._seen != seen)
            return False
        _log.info("config_changed", file=str(self._path))
        return True

    def _reject(self, error: ConfigError, *, is_new: bool) -> None:
        """Count and log a broken version once, however often it is looked at."""
        if is_new:
            self.num_rejected += 1
            _log.error("config_rejected", file=str(self._path), error=str(error), kept="the last good version")

    def _load(self, content: bytes) -> T:
        try:
            document = yaml.safe_load(content)
        except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
            raise ConfigError(f"{self._path}: {_one_line(error)}") from error
        if not isinstance(document, Mapping):
            raise ConfigError(f"{self._path}: holds no mapping of settings")
        try:
            return self._parse(document)
        except Exception as error:
            raise ConfigError(f"{self._path}: {_one_line(error)}") from error


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    if len(content) > _MAX_BYTES:
        raise ConfigError(f"{path}: larger than {_MAX_BYTES} bytes")
    return content


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
