"""The commands by name, and the group that imports one only when it is called.

A new command is one line in `COMMANDS`. Listing them, for `niyama --help` or a shell's completion, imports none.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["COMMANDS", "LazyGroup"]

COMMANDS: Mapping[str, str] = {
    "up": "Run a cluster on this machine.",
    "down": "Drain and end the cluster that `niyama up` runs on this machine.",
    "generate": "Stream the answer to a prompt, and say whether the promise was kept.",
    "status": "Show how replicas and classes fare.",
    "quote": "Say which times could be promised at this moment.",
    "bench": "Send load to a cluster and measure what it keeps of its promises.",
    "sim": "Try policies without GPUs, and plan real iterations again.",
    "capacity": "Find the fewest replicas that keep every promise, and what sharing saves.",
    "assess": "Say what traffic looks like, and which classes it suggests.",
    "profile": "Make latency profiles of iteration records, and look at them.",
    "validate": "Check manifests and tell everything that is wrong.",
    "demo": "Show a cluster keep promises where first-come-first-served breaks them.",
}
"""What each command does, in the order of the help; its module has its name."""


class LazyGroup(TyperGroup):
    """Lists commands from `COMMANDS` and imports a command's module when it is called."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401, typer's own
        super().__init__(**settings)
        # They know their names and their lines in the help, and no more.
        self.commands = {name: TyperCommand(name, help=summary) for name, summary in COMMANDS.items()}

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:  # noqa: ANN401, likewise
        """Return the command that is called, imported, and the arguments that are left for it."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is None or name not in COMMANDS:
            return name, command, rest
        loaded = typer.main.get_command(import_module(f"niyama_cli.{name}").app)
        loaded.name = name
        return name, loaded, rest
