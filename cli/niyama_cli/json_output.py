"""Figures as JSON on standard output, for programs that read them."""

import json

import typer

__all__ = ["print_json"]


def print_json(document: object, *, indent: int | None = 2) -> None:
    """Print a document; what JSON does not know is printed as its text. Without `indent` it is one line."""
    typer.echo(json.dumps(document, indent=indent, default=str, allow_nan=False))
