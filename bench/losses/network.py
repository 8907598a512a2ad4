"""Where the processes of a run live, and how two of them are kept from reaching one another.

As root, each gets a network namespace of its own, joined to the others by a namespace in the middle that forwards, and
drops what goes between two places that are cut. What is dropped vanishes: nobody is told, as with a broken switch. The
namespaces have no names; each lives as long as a process that ends with this one, so nothing is left of them, however
the run ends.

Anywhere else all share the loopback interface, and nothing can be cut.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from niyama_runtime.child_process import dying_with_parent

__all__ = ["CLIENT", "Loopback", "Namespaces", "Network", "cannot_cut", "enter_namespace"]

CLIENT = "client"
"""The place of this very process, where the clients are."""

_INSIDE = "NIYAMA_LOSSES_NAMESPACE"
_LOOPBACK = "127.0.0.1"
_PROGRAMS = ("ip", "nsenter", "unshare", "sleep")
_PATIENCE_SECONDS = 10.0


class Network(Protocol):
    """Places, and ways between them."""

    def address(self, place: str) -> str:
        """Return host:port at which the process of a place listens; the same each time."""
        ...

    def inside(self, place: str, command: Sequence[str]) -> list[str]:
        """Return `command` as one that runs in a place."""
        ...

    def cut(self, one: str, other: str) -> None:
        """Let nothing through between two places."""
        ...

    def mend(self, one: str, other: str) -> None:
        """End a cut."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


class Loopback:
    """One interface for all; a port for each."""

    def __init__(self, places: Sequence[str]) -> None:
        """Choose ports that are free."""
        probes = [socket.create_server((_LOOPBACK, 0)) for _ in places]
        self._ports = {place: probe.getsockname()[1] for place, probe in zip(places, probes, strict=True)}
        for probe in probes:
            probe.close()

    def address(self, place: str) -> str:
        """Return host:port of a place."""
        return f"{_LOOPBACK}:{self._ports[place]}"

    def inside(self, place: str, command: Sequence[str]) -> list[str]:
        """Return the command as it is."""
        return list(command)

    def cut(self, one: str, other: str) -> None:
        """Raise NotImplementedError: there is one interface."""
        raise NotImplementedError("nothing can be cut on the loopback interface")

    def mend(self, one: str, other: str) -> None:
        """Do nothing, for nothing was cut."""

    def close(self) -> None:
        """Do nothing: ports are free once nobody listens."""


class Namespaces:
    """A namespace for each place, and one in the middle."""

    def __init__(self, places: Sequence[str]) -> None:
        """Make and join them; this process must be in a namespace of its own (`enter_namespace`).

        Raises:
            CalledProcessError: the kernel refuses; nothing is left.
        """
        self._hosts = {place: f"10.99.{number}.2" for number, place in enumerate([CLIENT, *places], start=1)}
        self._holders: dict[str, subprocess.Popen[bytes]] = {}
        try:
            self._middle = self._hold("the middle")
            _run(self._in_middle("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"))
            for place, host in self._hosts.items():
                self._join(place, host=host)
        except BaseException:
            self.close()
            raise

    def address(self, place: str) -> str:
        """Return host:port of a place: each has all ports to itself."""
        return f"{self._hosts[place]}:50051"

    def inside(self, place: str, command: Sequence[str]) -> list[str]:
        """Return the command as one that enters the place first."""
        return list(command) if place == CLIENT else _entering(self._holders[place].pid, command)

    def cut(self, one: str, other: str) -> None:
        """Drop what goes from one to the other, and back."""
        self._rules("add", one, other=other)

    def mend(self, one: str, other: str) -> None:
        """Let it through again."""
        self._rules("del", one, other=other)

    def close(self) -> None:
        """End the processes that hold the namespaces."""
        for holder in self._holders.values():
            holder.kill()
            holder.wait()

    def _rules(self, action: str, one: str, *, other: str) -> None:
        for origin, target in ((one, other), (other, one)):
            rule = ("from", self._hosts[origin], "to", self._hosts[target], "blackhole")
            _run(self._in_middle("ip", "rule", action, *rule))

    def _join(self, place: str, *, host: str) -> None:
        """Lay a cable from a place to the middle."""
        gateway, number = f"{host[:-1]}1", host.split(".")[2]
        pid = os.getpid() if place == CLIENT else self._hold(place)
        end = ("type", "veth", "peer", "name", "eth0", "netns", str(pid))
        _run(["ip", "link", "add", "name", f"place{number}", "netns", str(self._middle), *end])
        _run(self._in_middle("ip", "address", "add", f"{gateway}/30", "dev", f"place{number}"))
        _run(self._in_middle("ip", "link", "set", f"place{number}", "up"))
        for command in (
            ("ip", "address", "add", f"{host}/30", "dev", "eth0"),
            ("ip", "link", "set", "eth0", "up"),
            ("ip", "link", "set", "lo", "up"),
            ("ip", "route", "add", "default", "via", gateway),
        ):
            _run(self.inside(place, command))

    def _in_middle(self, *command: str) -> list[str]:
        return _entering(self._middle, command)

    def _hold(self, place: str) -> int:
        """Start the process whose namespace a place is, and return its id."""
        command = [_program("unshare"), "--net", "--", _program("sleep"), "infinity"]
        holder = subprocess.Popen(dying_with_parent(command, by=signal.SIGKILL), start_new_session=True)
        self._holders[place] = holder
        own, end = _namespace("self"), time.monotonic() + _PATIENCE_SECONDS
        while _namespace(holder.pid) == own:
            if holder.poll() is not None or time.monotonic() > end:
                raise subprocess.CalledProcessError(holder.returncode or 1, command)
            time.sleep(0.01)
        return holder.pid


def cannot_cut() -> str:
    """Return why nothing can be cut on this machine; nothing when it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    missing = [name for name in _PROGRAMS if not shutil.which(name)]
    return f"{', '.join(missing)} not found (Debian: iproute2, util-linux)" if missing else ""


def enter_namespace() -> None:
    """Be in a network namespace of our own: this process begins anew there, unless it has done so already."""
    if _INSIDE not in os.environ:
        unshare = _program("unshare")
        os.execve(unshare, [unshare, "--net", "--", *sys.orig_argv], {**os.environ, _INSIDE: "1"})


def _entering(pid: int, command: Sequence[str]) -> list[str]:
    return [_program("nsenter"), f"--net=/proc/{pid}/ns/net", "--", *command]


def _namespace(pid: int | str) -> str:
    try:
        return str(Path(f"/proc/{pid}/ns/net").readlink())
    except OSError:
        return ""


def _program(name: str) -> str:
    return shutil.which(name) or name


def _run(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, timeout=_PATIENCE_SECONDS)
