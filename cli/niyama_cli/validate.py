"""`niyama validate`: everything that is wrong with manifests, at once."""

from pathlib import Path
from typing import Annotated

import typer
from niyama_core.cluster_spec import ClusterSpec

from niyama_cli.json_output import print_json
from niyama_cli.manifest_file import ManifestDocument, read_documents

__all__ = ["app"]

app = typer.Typer(add_completion=False)


@app.command(
    help="Check manifests and tell everything that is wrong, each with its field and how to mend it.",
    epilog="Example: niyama validate -f niyamacluster.yaml",
)
def validate(
    files: Annotated[
        list[Path],
        typer.Option("--file", "-f", help="A manifest, with one or more YAML documents; - is standard input."),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Exit with 1 when anything is wrong."""
    documents = [document for path in files for document in read_documents(path)]
    if as_json:
        print_json([_document_json(document) for document in documents])
    else:
        _print(documents)
    if any(document.problems for document in documents):
        raise typer.Exit(1)


def _print(documents: list[ManifestDocument]) -> None:
    """Say what is right on standard output, what is wrong on standard error, a line each."""
    for document in documents:
        for problem in document.problems:
            typer.echo(f"{document.place}: {problem}", err=True)
        if document.cluster is not None:
            typer.echo(f"{document.place}: {_summary(document.cluster)}")


def _summary(cluster: ClusterSpec) -> str:
    classes = ", ".join(qos_class.name for qos_class in cluster.qos_classes)
    replicas = "1 replica" if cluster.replicas == 1 else f"{cluster.replicas} replicas"
    return f"{cluster.key} is valid: {replicas} of {cluster.model.name}, classes {classes}"


def _document_json(document: ManifestDocument) -> dict[str, object]:
    return {
        "place": document.place,
        "cluster": document.cluster.key if document.cluster is not None else None,
        "problems": [{"path": problem.path, "message": problem.message} for problem in document.problems],
    }
