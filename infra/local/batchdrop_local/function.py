"""
A function's server, which has imported what its functions import at their first call.

gunicorn forks its workers from it, so a worker that follows a dead one is ready in a
tenth of a second. No client is made here: gRPC's channels do not survive a fork.
"""

from importlib import import_module

from functions_framework._cli import _cli

USED = ("google.cloud.firestore", "google.cloud.pubsub_v1", "google.cloud.storage")

if __name__ == "__main__":
    for name in USED:
        import_module(name)
    _cli()
