"""The `niyama` command: where a person's words come in, and where every failure becomes one line and an exit code.

Exit codes: 0 done, 1 failed, 2 put wrongly, 130 ended by Ctrl-C.
"""

import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer

from niyama_cli.commands import LazyGroup
from niyama_cli.errors import CommandError

__all__ = ["app", "main", "run"]

_HELP = """Let applications with different deadlines share the GPUs that serve one language model.

Begin with `niyama up -f examples/niyamacluster.yaml`, then `niyama generate "Hello" --class chat`.
"""

app = typer.Typer(cls=LazyGroup, help=_HELP, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"niyama {version('niyama')}")
        raise typer.Exit


@app.callback()
def niyama(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before a command."""


def main() -> None:
    """Run what the arguments of the process say, and exit."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run a command and return the exit code; failures are told on standard error, never as a traceback."""
    try:
        code = typer.main.get_command(app).main(arguments, prog_name="niyama", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except BrokenPipeError:
        # Whoever read has gone, as `head` does; Python must not complain when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except CommandError as error:
        return _tell(str(error), error.exit_code)
    except Exception as error:  # noqa: BLE001, the last resort: a person gets a line, a developer asks for more
        return _tell_of(error)
    return code if isinstance(code, int) else 0


def _tell_of(error: Exception) -> int:
    """Tell of a wrong word on the command line, or else of a fault in this program."""
    said: Any = getattr(error, "format_message", None)
    if said is not None:
        return _tell(said(), int(getattr(error, "exit_code", 2)))
    if os.environ.get("NIYAMA_DEBUG"):
        raise error
    fault = " ".join(str(error).split()) or "no more is known"
    return _tell(f"{type(error).__name__}: {fault} (NIYAMA_DEBUG=1 shows where)", 1)


def _tell(message: str, exit_code: int) -> int:
    """Print a message line by line; that of a bare `niyama`, which has shown the help instead, is empty."""
    for line in message.splitlines():
        print(f"niyama: {line}", file=sys.stderr)
    return exit_code


if __name__ == "__main__":
    main()
