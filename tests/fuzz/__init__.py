"""The API under requests that nobody would think of: schemathesis on the running service, as a member and as an admin.

`make fuzz` leaves `out/fuzz.json`; `make fuzz-short` is what CI runs.
"""
