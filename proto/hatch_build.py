"""Hatchling's hook: generate `niyama.v1` before a wheel or an editable install is made."""

import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateProtos(BuildHookInterface):
    """Runs in the build environment, for `pip install .` and `pip install -e .` alike."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Run the generator; a failing protoc fails the install."""
        subprocess.run([sys.executable, Path(self.root) / "proto" / "generate.py"], check=True)
