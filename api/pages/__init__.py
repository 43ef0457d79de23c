"""The web page: what a researcher looks at. Rendered here, live through event streams; it asks `store` as routes do.

One page a file; `visitor` says who looks, `paper` how it is printed, `assets` is what the browser keeps.
"""

from api.pages import (
    account,
    admin,
    assets,
    compare,
    dataset,
    files,
    job,
    model,
    overview,
    signin,
    study,
    submitting,
)

PAGES = tuple(
    room.router
    for room in (assets, signin, overview, files, study, job, submitting, dataset, model, compare, account, admin)
)
"""In the order in which paths are tried."""

__all__ = ["PAGES"]
