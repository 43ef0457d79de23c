"""Feature Sieve: what a researcher installs. Job specs, Python client and the `sieve` command; no torch, no server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from sieve.client import Client

__all__ = ["Client", "__version__"]


def __getattr__(name: str) -> Any:
    """`Client` is imported when it is asked for: the server imports `sieve.specs` and needs no HTTP client."""
    if name == "Client":
        from sieve.client import Client  # noqa: PLC0415 - see above

        return Client
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
