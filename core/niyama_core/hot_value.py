"""Values that every iteration makes by the dozen: frozen to the type checker, and cheap to make.

A frozen dataclass sets each of its fields by a call, which makes it several times as slow to build as a plain one. An
iteration of the planner would spend half of its time on that. So those few classes forbid assignment to whoever is
type-checked, as all of this code is, and at run time merely have equality, a hash and slots.
"""

from dataclasses import dataclass
from typing import TypeVar, dataclass_transform

__all__ = ["hot_value"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def hot_value(cls: type[T]) -> type[T]:
    """Make a class a dataclass whose fields never change, for classes of which each iteration makes some."""
    return dataclass(slots=True, unsafe_hash=True)(cls)
