"""The roof: the `niyama` command, the only place that knows all rooms.

A command is one module of its name, with `app = typer.Typer(add_completion=False)` and one function under
`@app.command(...)`, and one line in `niyama_cli.commands`. It is imported only when it is called, so it imports
whatever rooms it needs at its top. What a person did wrong, or a cluster refused, is raised as `CommandError`;
`__main__` prints it as one line.
"""
