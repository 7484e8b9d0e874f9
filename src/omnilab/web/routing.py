"""The table of operations: exact paths, looked up in a dict, so that the hot calls pay for no pattern matching.

Promises that `%3A` in a path is the same as `:`, and that nothing else is: another case, a slash at the end, a
double slash or any other percent-encoding is another path.
"""

from __future__ import annotations

from collections.abc import Iterable

from omnilab.errors import RequestError
from omnilab.telemetry.redaction import excerpt
from omnilab.web.operation import Operation


class Route:
    """One path with its operations by method. `any_operation` tells the form of errors before the method is known."""

    __slots__ = ("allow", "any_host", "any_operation", "methods", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self.methods: dict[str, Operation] = {}
        self.allow = b""
        self.any_host = False
        self.any_operation: Operation

    def add(self, operation: Operation) -> None:
        """Add an operation. Raises ValueError when its method is taken."""
        if operation.method in self.methods:
            raise ValueError(f"{operation.method} {operation.path} is routed twice")
        self.methods[operation.method] = operation
        # HEAD is for documents; a protected call's answer is worth a grant and a place in the quota.
        if operation.method == "GET" and not operation.protected:
            self.methods.setdefault("HEAD", operation)
        self.allow = ", ".join(sorted(self.methods)).encode()
        self.any_host = self.any_host or operation.any_host
        self.any_operation = operation

    def operation(self, method: str) -> Operation:
        """The operation of a method. Raises RequestError `method_not_allowed`."""
        found = self.methods.get(method)
        if found is None:
            allow = self.allow.decode()
            raise RequestError(
                "method_not_allowed",
                f"This path is called with {allow.replace(', ', ' or ')}, not with another method.",
                check="method",
                expected=allow,
                found=excerpt(method, 20),
            )
        return found


class RouteTable:
    """All operations by path."""

    __slots__ = ("_by_raw_path",)

    def __init__(self, operations: Iterable[Operation]) -> None:
        self._by_raw_path: dict[bytes, Route] = {}
        for operation in operations:
            key = operation.path.encode("ascii")
            self._by_raw_path.setdefault(key, Route(operation.path)).add(operation)

    def find(self, raw_path: bytes) -> Route | None:
        """The route of a path as it came over the wire."""
        route = self._by_raw_path.get(raw_path)
        if route is None and b"%" in raw_path:
            route = self._by_raw_path.get(raw_path.replace(b"%3A", b":").replace(b"%3a", b":"))
        return route
