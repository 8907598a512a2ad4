"""`niyama up --detach`: the same command in the background, handed over when it serves.

The background process is a fresh one in a session of its own and not a fork: gRPC and threads do not survive forks.
"""

import subprocess
from pathlib import Path

import typer
from niyama_core.cluster_spec import ClusterSpec

from niyama_cli.errors import CommandError
from niyama_cli.role_process import module_command
from niyama_cli.state_file import RunningCluster, state_path
from niyama_cli.up_record import running_clusters
from niyama_cli.up_screen import try_line

__all__ = ["start"]

_POLL_SECONDS = 0.05
_PREFIX = "niyama: "


def start(spec: ClusterSpec, arguments: list[str], *, port: int) -> None:
    """Start `niyama up` with these arguments, return when it serves, and say where.

    Raises:
        CommandError: it ended before it served; the message is what it said.
    """
    log_file = state_path().with_name(f"up-{port}.log")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    typer.echo(f"starting {spec.key} in the background ...")
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            module_command("niyama_cli", "up", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        cluster = _await_record(process, log_file)
    except BaseException:
        process.terminate()
        process.wait()
        raise
    process.returncode = 0  # handed over to the system: Popen would complain that nobody has waited for it
    typer.echo(f"{cluster.cluster} serves at {cluster.router} as process {cluster.pid}; its log is {log_file}")
    typer.echo(try_line(spec, cluster.router))
    typer.echo("`niyama down` drains and ends it.")


def _await_record(process: subprocess.Popen[bytes], log_file: Path) -> RunningCluster:
    while True:
        for cluster in running_clusters():
            if cluster.pid == process.pid:
                return cluster
        try:
            process.wait(_POLL_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        raise CommandError(_last_words(log_file))


def _last_words(log_file: Path) -> str:
    """Return why the command failed, as it said itself; else the end of its log."""
    lines = log_file.read_text(errors="replace").splitlines()
    reasons = [line.removeprefix(_PREFIX) for line in lines if line.startswith(_PREFIX)]
    return "\n".join(reasons or lines[-10:]) or "it ended without a word"
