"""
Pages over the ledger: jobs, one job, its rows, costs, and how the deployment is.

`site` makes the application; `access` says who asks; each page is a module with a
template of the same name; `actions` are what people ask of a job. Nothing is fetched
from another host, and nothing a page shows is trusted: Jinja escapes all of it.
"""
