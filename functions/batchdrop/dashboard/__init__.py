"""
Pages over the ledger: jobs, one job, its rows, costs, and the deployment's state.

`site` makes the application; `access` says who asks; each page is a module with a
template of the same name; `actions` are the commands that people give. Nothing is
fetched from another host, and nothing a page shows is trusted: Jinja escapes all of it.
"""
