"""What a client of a stack exports, and its functions run with."""

import os
from collections.abc import Mapping

from batchdrop.preflight import MODEL
from batchdrop_local.topics import Topics

#: Nobody can own buckets of these names: `localhost` is no domain. A shell that does
#: not have the stack's environment can't put anything into somebody's bucket.
BUCKETS = {
    "inbox": "inbox.localhost",
    "work": "work.localhost",
    "output": "output.localhost",
}
LOCATION = "us-central1"


def environment(topics: Topics, addresses: Mapping[str, str]) -> dict[str, str]:
    """
    The variables, for a stack with these topics and addresses.

    Args:
        topics: the project's.
        addresses: HOST:PORT of `firestore` and `pubsub`, a URL of each other part.
    """
    project = topics.project
    direct = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
    no_proxy = f"{direct},127.0.0.1" if direct else "127.0.0.1"
    return {
        # Whoever has to use a proxy must not use it for this. Both are read.
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "GOOGLE_CLOUD_PROJECT": project,
        "FIRESTORE_EMULATOR_HOST": addresses["firestore"],
        "PUBSUB_EMULATOR_HOST": addresses["pubsub"],
        "STORAGE_EMULATOR_HOST": addresses["gcs"],
        # The same for the gcloud command.
        "CLOUDSDK_CORE_PROJECT": project,
        "CLOUDSDK_AUTH_DISABLE_CREDENTIALS": "true",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": addresses["gcs"] + "/",
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_PUBSUB": f"http://{addresses['pubsub']}/",
        "BATCHDROP_PROJECT": project,
        "BATCHDROP_LOCATION": LOCATION,
        "BATCHDROP_BACKEND": "vertex",
        "BATCHDROP_MODEL": MODEL,
        "BATCHDROP_INBOX": BUCKETS["inbox"],
        "BATCHDROP_WORK": f"gs://{BUCKETS['work']}",
        "BATCHDROP_OUTPUT": f"gs://{BUCKETS['output']}",
        "BATCHDROP_TOPIC": topics.announcements.rpartition("/")[2],
        "BATCHDROP_WORK_TOPIC": topics.work.rpartition("/")[2],
        "BATCHDROP_DATABASE": "(default)",
        "BATCHDROP_DEPLOYMENT": "local",
        "BATCHDROP_API_URL": addresses["batchsim"],
        "BATCHDROP_DASHBOARD_ACCESS": "local",
        # All that is on this machine is its user's.
        "BATCHDROP_DASHBOARD_ROWS": "true",
        # batchsim takes any; only the backend "developer" asks for one.
        "GEMINI_API_KEY": "local",
        # A job whose worker was killed is taken up again after LEASE. If that was in
        # the middle of the create, then CREATE_TIMEOUT and LIST_LAG later, and after
        # one more LIST_LAG it is created anew: 10 s and some calls of poll.
        "BATCHDROP_LEASE": "5",
        "BATCHDROP_CREATE_TIMEOUT": "3",
        "BATCHDROP_LIST_LAG": "1",
        # A poll that is killed shuts the next ones out for this long.
        "BATCHDROP_TICK": "5",
    }
