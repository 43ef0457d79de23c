"""The web page: what a researcher looks at. Rendered here, live through event streams; it asks `store` as routes do.

One page a file; `visitor` says who looks, `paper` how it is printed, `assets` is what the browser keeps.
"""

from api.pages import assets, files, job, overview, signin, study, submitting

PAGES = (assets.router, signin.router, overview.router, files.router, study.router, job.router, submitting.router)
"""In the order in which paths are tried."""

__all__ = ["PAGES"]
