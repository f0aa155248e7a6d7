"""
Vertex's generated client over REST, unmodified. Prints what it saw as JSON.

    python job_service.py HOST:PORT GS_SOURCE GS_PREFIX
"""

import json
import sys
import urllib.request
from collections.abc import Callable

from google.api_core.exceptions import GoogleAPICallError
from google.auth.credentials import AnonymousCredentials
from google.cloud.aiplatform_v1.services.job_service import JobServiceClient
from google.cloud.aiplatform_v1.services.job_service.transports.rest import (
    JobServiceRestTransport,
)

address, source, prefix = sys.argv[1:]
client = JobServiceClient(
    transport=JobServiceRestTransport(
        host=address, credentials=AnonymousCredentials(), url_scheme="http"
    ),
)
parent = "projects/my-project/locations/us-central1"


def job(name: str) -> dict[str, object]:
    return {
        "display_name": name,
        "model": "publishers/google/models/gemini-3.8-flash",
        "labels": {"n": name},
        "input_config": {
            "instances_format": "jsonl",
            "gcs_source": {"uris": [source]},
        },
        "output_config": {
            "predictions_format": "jsonl",
            "gcs_destination": {"output_uri_prefix": prefix},
        },
    }


def failure(call: Callable[..., object], **arguments: str) -> str | None:
    try:
        call(**arguments)
    except GoogleAPICallError as exc:
        return type(exc).__name__
    return None


made = [
    client.create_batch_prediction_job(parent=parent, batch_prediction_job=job(name))
    for name in "abc"
]
first, second, third = (one.name for one in made)
client.cancel_batch_prediction_job(name=second)
body = json.dumps({"advance_s": 60}).encode()
urllib.request.urlopen(f"http://{address}/_sim/clock", data=body).read()
done = client.get_batch_prediction_job(name=first)
cancelled = client.get_batch_prediction_job(name=second)
listed = client.list_batch_prediction_jobs(request={"parent": parent, "page_size": 2})
pages = [
    [one.display_name for one in page.batch_prediction_jobs] for page in listed.pages
]
chosen = client.list_batch_prediction_jobs(
    request={"parent": parent, "filter": "labels.n=b", "read_mask": "name,state"}
)
(only,) = chosen
operation = client.delete_batch_prediction_job(name=second)
operation.result(timeout=5)
seen = {
    "created": made[0].state.name,
    "state": done.state.name,
    "successful": done.completion_stats.successful_count,
    "directory": done.output_info.gcs_output_directory,
    "labels": dict(done.labels),
    "times": done.create_time < done.start_time < done.end_time,
    "cancelled": cancelled.state.name,
    "error": cancelled.error.code,
    "pages": pages,
    "chosen": [only.name == second, only.state.name, only.display_name],
    "operation_done": operation.done(),
    "operation_name": operation.operation.name,
    "refused": failure(client.cancel_batch_prediction_job, name=first),
    "gone": failure(client.get_batch_prediction_job, name=second),
}
print(json.dumps(seen))
