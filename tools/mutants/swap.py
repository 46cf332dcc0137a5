"""Give the functions and constants of an imported module another module's values."""

import sys
from collections.abc import Iterator
from functools import cached_property, partial
from types import FunctionType, ModuleType
from typing import Any

SIMPLE = (bool, int, float, str, bytes, tuple, frozenset, set, dict, list)


def adopt(old: ModuleType, new: dict[str, Any]) -> None:
    """Change *old*, whose objects others have imported, into the module *new*."""
    for name, value in list(vars(old).items()):
        if name.startswith("__") or name not in new:
            continue
        if isinstance(value, FunctionType | type) and value.__module__ != old.__name__:
            continue
        exchange(value, new[name])
        if isinstance(value, (*SIMPLE, partial)) or not_ours(value):
            for module in ours():
                for other, found in list(vars(module).items()):
                    if found is value and other == name:
                        setattr(module, other, new[name])


def not_ours(value: object) -> bool:
    """Return True for an object of a library, such as a pattern or a statement."""
    return (
        not isinstance(value, type)
        and not hasattr(value, "__wrapped__")
        and (not isinstance(value, FunctionType))
    )


def ours() -> Iterator[ModuleType]:
    """Yield the modules of the package and of its tests."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("cellmap_migrations", "tests")):
            yield module


def exchange(old: Any, new: Any) -> None:
    """Give a function or a class the code of another."""
    if isinstance(old, FunctionType) and isinstance(new, FunctionType):
        if old.__code__.co_freevars == new.__code__.co_freevars:
            old.__code__ = new.__code__
            old.__defaults__ = new.__defaults__
            old.__kwdefaults__ = new.__kwdefaults__
        if hasattr(old, "__wrapped__") and hasattr(new, "__wrapped__"):
            exchange(old.__wrapped__, new.__wrapped__)
    elif isinstance(old, type) and isinstance(new, type):
        exchange_class(old, new)
    elif isinstance(old, property) and isinstance(new, property):
        exchange(old.fget, new.fget)
    elif isinstance(old, staticmethod | classmethod):
        exchange(old.__func__, new.__func__)
    elif isinstance(old, cached_property):
        exchange(old.func, new.func)
    elif hasattr(old, "__wrapped__") and hasattr(new, "__wrapped__"):
        exchange(old.__wrapped__, new.__wrapped__)


def exchange_class(old: type, new: type) -> None:
    """Give a class the methods and values of another."""
    for name, value in list(vars(old).items()):
        if name not in vars(new):
            continue
        found = vars(new)[name]
        if isinstance(value, SIMPLE) and not name.startswith("__"):
            setattr(old, name, found)
        elif isinstance(
            value,
            FunctionType | property | staticmethod | classmethod | cached_property,
        ):
            exchange(value, found)
        elif getattr(type(value), "__module__", "").startswith("cellmap_migrations"):
            try:
                setattr(old, name, found)
            except AttributeError:
                continue
