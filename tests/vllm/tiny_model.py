"""The tiny model of the examples, built on the spot."""

import importlib.util
from pathlib import Path

__all__ = ["build_model"]

_EXAMPLE = Path(__file__).parents[2] / "examples" / "tiny_llama.py"


def build_model(folder: Path, **sizes: int) -> Path:
    """Write a model with random weights into a folder and return it; `sizes` are those of the example."""
    spec = importlib.util.spec_from_file_location("tiny_llama", _EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    built: Path = example.build_tiny_llama(folder, **sizes)
    return built
