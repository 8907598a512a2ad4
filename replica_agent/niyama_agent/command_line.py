"""The agent's flags, each of which stands for a field of the configuration file and overrides it."""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from niyama_agent.identity import VERSION

__all__ = ["overlaid", "parse_arguments"]

# Flag, path of the field, type, what it says.
_FLAGS: Sequence[tuple[str, str, type, str]] = (
    ("--cluster", "cluster", str, "namespace/name of the cluster"),
    ("--replica", "replica", str, "name of this replica, unique in the cluster"),
    ("--model", "model", str, "served model name"),
    ("--listen", "listen", str, "host:port of the gRPC server; port 0 takes a free one"),
    ("--advertise", "advertise", str, "host:port where routers find it, when not the address it listens on"),
    ("--redis-url", "redis.url", str, "Redis with the cluster's load board"),
    ("--engine", "engine.type", str, "what computes tokens: paced or vllm"),
    ("--model-path", "engine.model", str, "name or path of the model that vLLM loads, when not the served name"),
    ("--profile", "engine.profile", str, "latency profile"),
    ("--speed", "engine.speed", float, "how many times as fast as the profile the paced engine runs"),
    ("--noise", "engine.noise", float, "sigma of the log-normal factor on the paced engine's iteration times"),
    ("--seed", "engine.seed", int, "of that noise"),
    ("--policy", "scheduler.policy", str, "scheduling policy"),
    ("--metrics", "metrics", str, "host:port of the metrics server; none when left out"),
    ("--drain-grace", "drainGrace", str, "how long running requests may take after SIGTERM, for example 30s"),
    ("--log-level", "log.level", str, "debug, info, warning or error"),
)


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the flags; ends the process with status 2 when they are wrong, with 0 after `--help`."""
    parser = argparse.ArgumentParser(
        prog="niyama-agent",
        description="Serves one replica: an engine, scheduled by deadlines, over gRPC.",
        epilog="example: niyama-agent --config agent.yaml --listen 127.0.0.1:50051",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"niyama-agent {VERSION}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="configuration (YAML); watched while it runs")
    parser.add_argument("--replay", action="store_true", help="let requests say how long their answer is")
    parser.add_argument("--log-json", action="store_true", help="log as JSON")
    parser.add_argument(
        "arguments", nargs="*", metavar="-- VLLM_ARGUMENT", help="vLLM's own arguments, for --engine vllm"
    )
    for flag, path, kind, text in _FLAGS:
        parser.add_argument(flag, dest=path, type=kind, metavar=flag.rpartition("-")[2].upper(), help=text)
    return parser.parse_args(arguments)


def overlaid(document: Mapping[str, object], flags: argparse.Namespace) -> dict[str, object]:
    """Return a configuration with the flags that were given put over its fields."""
    result = dict(document)
    given = {path: getattr(flags, path) for _, path, _, _ in _FLAGS if getattr(flags, path) is not None}
    if flags.replay:
        given["engine.replay"] = True
    if flags.arguments:
        given["engine.arguments"] = flags.arguments
    if flags.log_json:
        given["log.json"] = True
    for path, value in given.items():
        section, _, key = path.rpartition(".")
        if section:
            fields = result.get(section)
            result[section] = {**fields, key: value} if isinstance(fields, Mapping) else {key: value}
        else:
            result[key] = value
    return result
