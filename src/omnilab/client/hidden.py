"""Values that must never be seen by accident: masked wherever Python would print them."""

from __future__ import annotations

from typing import Generic, NoReturn, TypeVar

T = TypeVar("T", bound=str | bytes)


class Hidden(Generic[T]):
    """A secret value, shown only by an explicit `reveal()`.

    Traceback tools print the local variables of each frame; what is wrapped here they print as asterisks.

    >>> Hidden("omni_dev_…")
    <hidden>
    """

    __slots__ = ("_value",)

    def __init__(self, value: T) -> None:
        self._value: T = value

    def reveal(self) -> T:
        """The value itself. Call it only where it leaves on purpose."""
        return self._value

    def __bool__(self) -> bool:
        return bool(self._value)

    def __repr__(self) -> str:
        return "<hidden>"

    __str__ = __repr__

    def __reduce__(self) -> NoReturn:
        raise TypeError("a hidden value is never pickled")
