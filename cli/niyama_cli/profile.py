"""`niyama profile`: how long iterations take on some machine, measured, fitted and shown."""

import typer

from niyama_cli.profile_collect import app as collect_app
from niyama_cli.profile_fit import app as fit_app
from niyama_cli.profile_show import app as show_app

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Make latency profiles of iteration records, and look at them.",
    epilog="Example: niyama profile fit iterations.csv --like a100-llama3-8b -o my.json",
)
app.add_typer(collect_app)
app.add_typer(fit_app)
app.add_typer(show_app)
