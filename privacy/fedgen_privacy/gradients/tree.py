"""Tensors in tuples, named tuples and dictionaries, as torch.func takes them.

torch keeps its own functions for such trees private (`torch.utils._pytree`), and ours need no other containers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, TypeVar, cast

from torch import Tensor

Tree: TypeAlias = Tensor | tuple["Tree", ...] | Mapping[str, "Tree"]
T = TypeVar("T", bound=Tree)


def tree_map(function: Callable[[Tensor], Tensor], tree: T) -> T:
    """The same tree with `function` of each tensor in its place.

    Raises:
        TypeError: there is something else than tensors, tuples and dictionaries in it.
    """
    return cast(T, _mapped(function, tree))


def leaves(tree: Tree) -> Iterator[Tensor]:
    """Every tensor of a tree, in its order."""
    if isinstance(tree, Tensor):
        yield tree
        return
    for branch in tree.values() if isinstance(tree, Mapping) else tree:
        yield from leaves(branch)


def _mapped(function: Callable[[Tensor], Tensor], tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return function(tree)
    if isinstance(tree, dict):
        return {name: _mapped(function, branch) for name, branch in tree.items()}
    if not isinstance(tree, tuple):
        raise TypeError(f"a tree holds tensors, tuples and dictionaries, not {type(tree).__name__}")
    branches = [_mapped(function, branch) for branch in tree]
    return type(tree)(*branches) if hasattr(tree, "_fields") else tuple(branches)
