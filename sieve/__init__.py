"""Feature Sieve: what a researcher installs. Job specs, Python client and the `sieve` command; no torch, no server."""

__version__ = "0.1.0"
