"""What people ask of jobs on the pages, and that nobody else can."""

import re
from datetime import timedelta

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchdrop.dashboard import forms
from batchdrop.jobs.job import Job
from tests.dashboard.people import bearer
from tests.there import there
from tests.worker import rounds
from tests.worker.batches import submit
from tests.worker.collecting import collected
from tests.worker.world import World

ADA, EVE = bearer("ada@example.com"), bearer("eve@example.com")


@pytest.fixture
def operated(deployed: World) -> World:
    """The deployment on Cloud Run, where Ada operates it, and Eve reads."""
    deployed.choose(dashboard_access="iam", dashboard_operators=("ada@example.com",))
    return deployed


def page(pages: FlaskClient, job: Job, person: dict[str, str] = ADA) -> str:
    return pages.get(f"/jobs/{job.id}", headers=person).text


def offered(pages: FlaskClient, job: Job) -> set[str]:
    """The actions that the page of a job has forms for."""
    return set(re.findall(rf'action="/jobs/{job.id}/(\w+)"', page(pages, job)))


def act(
    pages: FlaskClient,
    job: Job,
    action: str,
    person: dict[str, str] = ADA,
    **form: str | list[str],
) -> TestResponse:
    """Sends a form of the job's page, as somebody's browser does."""
    token = re.search(r'name="token" value="([^"]+)"', page(pages, job, person))
    return pages.post(
        f"/jobs/{job.id}/{action}",
        headers=person | {"Sec-Fetch-Site": "same-origin"},
        data={"token": token[1] if token else "none"} | form,
    )


def token_of(pages: FlaskClient, job: Job) -> str:
    """The token of the forms on a job's page, whose cookie the browser has then."""
    return there(re.search(r'name="token" value="([^"]+)"', page(pages, job)))[1]


def notes(world: World, job_id: str) -> list[str | None]:
    return [one.note for one in there(world.ledger.get(job_id)).history]


def test_a_job_is_cancelled_by_an_operator_and_its_history_says_by_whom(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)
    assert offered(pages, job) == {"cancel"}

    answer = act(pages, job, "cancel")

    assert (answer.status_code, answer.location) == (
        303,
        f"/jobs/{job.id}?done=cancel",
    )
    assert "The job is cancelled" in pages.get(answer.location, headers=ADA).text
    request = there(there(operated.ledger.get(job.id)).cancel_request)
    assert request.by == "ada@example.com"
    assert notes(operated, job.id)[-1] == "cancel requested by ada@example.com"
    assert offered(pages, job) == set()


def test_who_may_not_act_sees_no_form_and_changes_nothing(
    operated: World, pages: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    job = submit(operated)
    token = token_of(pages, job)  # which the browser's cookie has, too
    before = operated.ledger.get(job.id)

    text = page(pages, job, EVE)
    assert "<form" not in text
    assert "eve@example.com" in text
    for action in ("cancel", "rerun", "resume", "retry", "replay"):
        caplog.clear()
        answer = pages.post(
            f"/jobs/{job.id}/{action}",
            headers=EVE | {"Sec-Fetch-Site": "same-origin"},
            data={"token": token},
        )
        assert answer.status_code == 403
        denied = [r for r in caplog.records if r.name.startswith("batchdrop")]
        assert [(r.event, r.by, r.action) for r in denied] == [  # type: ignore[attr-defined]
            ("dashboard.denied", "eve@example.com", action)
        ]

    assert operated.ledger.get(job.id) == before
    assert operated.jobs() == 1


def test_a_form_of_another_site_is_refused_whatever_it_has(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)
    token = token_of(pages, job)
    same = {"Sec-Fetch-Site": "same-origin"}
    tries: list[tuple[dict[str, str], dict[str, str]]] = [
        (same, {}),
        (same, {"token": ""}),
        (same, {"token": "x" * 43}),
        (same, {"token": token[:-1]}),
        (same, {"token": token + "x"}),
        *[
            ({"Sec-Fetch-Site": site}, {"token": token})
            for site in ("cross-site", "same-site", "none", "", "same-origin,none")
        ],
        *[
            ({"Origin": origin}, {"token": token})
            for origin in (
                *("null", "http://evil.com", "http://evil.com:8080"),
                *("http://localhost.evil.com", "http://localhost@evil.com", "http://["),
            )
        ],
    ]

    for headers, form in tries:
        answer = pages.post(f"/jobs/{job.id}/cancel", headers=ADA | headers, data=form)
        assert answer.status_code == 403, (headers, form)
    assert there(operated.ledger.get(job.id)).cancel_request is None

    stolen = pages.application.test_client()
    for cookie in ("", "x" * 43):
        stolen.set_cookie("batchdrop", cookie)
        answer = stolen.post(
            f"/jobs/{job.id}/cancel", headers=ADA | same, data={"token": token}
        )
        assert answer.status_code == 403
    assert there(operated.ledger.get(job.id)).cancel_request is None

    # The proxy of gcloud writes the service's name over that of the browser's machine.
    proxied = ADA | {"Origin": "http://localhost:8080", "Host": "x.run.app"}
    cookie = there(pages.get_cookie("batchdrop")).value
    proxied["Cookie"] = f"batchdrop={cookie}"
    answer = pages.application.test_client(use_cookies=False).post(
        f"/jobs/{job.id}/cancel", headers=proxied, data={"token": token}
    )
    assert answer.status_code == 303


def test_a_browser_that_names_only_the_origin_of_a_form_may_act(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)
    token = token_of(pages, job)
    policy = pages.get("/", headers=ADA).headers["Referrer-Policy"]
    # Of a form that goes to its own origin: see the Fetch standard.
    origin = "null" if policy == "no-referrer" else "http://localhost:8080"

    answer = pages.post(
        f"/jobs/{job.id}/cancel",
        headers=ADA | {"Origin": origin},
        data={"token": token},
    )

    assert answer.status_code == 303


def test_on_one_machine_a_form_from_another_port_is_refused(
    deployed: World, pages: FlaskClient
) -> None:
    job = submit(deployed)
    form = {"token": token_of(pages, job)}

    for origin, status in (
        ("http://localhost:9999", 403),
        ("http://127.0.0.1", 403),
        ("http://localhost", 303),
    ):
        answer = pages.post(
            f"/jobs/{job.id}/cancel", headers={"Origin": origin}, data=form
        )
        assert answer.status_code == status, origin


def test_the_cookie_of_forms_is_for_these_pages_alone(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)

    first = pages.get(f"/jobs/{job.id}", headers=ADA).headers["Set-Cookie"]
    assert re.fullmatch(
        r"batchdrop=[\w-]{43}; HttpOnly; Path=/; SameSite=Strict", first
    )
    again = pages.get(f"/jobs/{job.id}", headers=ADA)
    assert "Set-Cookie" not in again.headers
    # Who can't act needs none.
    other = pages.application.test_client().get(f"/jobs/{job.id}", headers=EVE)
    assert "Set-Cookie" not in other.headers


def test_a_job_that_is_over_is_run_again_once_and_announced_again(
    operated: World, pages: FlaskClient
) -> None:
    job = operated.until_over(submit(operated).source)
    operated.ticks(3)
    sent = [(one.id, one.body) for one in operated.announced]
    assert sent
    assert offered(pages, job) == {"rerun", "replay"}

    answer = act(pages, job, "replay")
    assert answer.status_code == 303
    assert act(pages, job, "replay").status_code == 409  # all of them wait by now
    operated.ticks(1)
    assert sorted((one.id, one.body) for one in operated.announced) == sorted(sent * 2)

    answer = act(pages, job, "rerun", known="0")
    old = there(operated.ledger.get(job.id))
    new = there(operated.ledger.get(old.rerun_id))
    assert answer.location == f"/jobs/{new.id}?done=rerun"
    assert notes(operated, job.id)[-2:] == [
        "announced again by ada@example.com",
        f"rerun as {new.id} by ada@example.com",
    ]
    assert (new.parent, notes(operated, new.id)) == (
        job.id,
        [f"rerun of {job.id} by ada@example.com"],
    )
    assert 'name="known" value="1"' in page(pages, job)

    # A form that is sent twice.
    again = act(pages, job, "rerun", known="0")
    assert (answer.status_code, again.status_code) == (303, 409)
    assert there(operated.ledger.get(job.id)).reruns == 1
    assert f"run again meanwhile, as job {new.id}." in again.text
    for known in ("", "x", "9" * 10, "-1"):
        assert act(pages, job, "rerun", known=known).status_code == 400


def test_a_parked_job_is_resumed(operated: World, pages: FlaskClient) -> None:
    job = operated.ledger.advance(
        there(
            operated.ledger.claim(
                Job.claimed(operated.upload(), "w", operated.now(), operated.timing)
            )
        ),
        lambda j: j.park(operated.now()),
    )
    assert offered(pages, job) == {"cancel", "resume", "replay"}

    assert act(pages, job, "resume").status_code == 303

    after = there(operated.ledger.get(job.id))
    assert not after.is_parked
    assert after.history[-1].note == "resumed by ada@example.com"
    answer = act(pages, job, "resume")
    assert answer.status_code == 409
    assert "isn&#39;t parked" in answer.text
    assert f'href="/jobs/{job.id}"' in answer.text


def test_rows_of_an_outcome_go_again(operated: World, pages: FlaskClient) -> None:
    rounds.fails(operated, 3, 7, times=None, code=400)
    job = collected(operated, rounds.drop(operated, retry=0))
    assert offered(pages, job) == {"rerun", "replay", "retry"}
    assert 'value="failed"> failed <span class="soft">2</span>' in page(pages, job)

    for wrong in ("ok", "nothing", "<b>"):
        assert act(pages, job, "retry", only=wrong).status_code in (400, 409)
    assert act(pages, job, "retry", only=["failed", "blocked"]).status_code == 303

    after = there(operated.ledger.get(job.id))
    assert after.rounds[-1].only == ("failed", "blocked")
    assert after.history[-1].note == "round 1 requested by ada@example.com"
    assert offered(pages, after) == {"cancel", "rerun", "replay"}


def test_to_run_a_rejected_job_again_pays_its_rows_for_the_first_time(
    operated: World, pages: FlaskClient
) -> None:
    drop = operated.upload("[]\n")
    operated.worker.take(drop)

    shown = page(pages, operated.job(drop))

    assert "All rows are paid. For this job nothing was paid." in shown


def test_forms_are_sent_to_a_job_by_post_alone(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)

    for action in ("cancel", "rerun", "resume", "retry", "replay"):
        assert pages.get(f"/jobs/{job.id}/{action}", headers=ADA).status_code == 405
    assert act(pages, job, "delete").status_code == 404
    assert act(pages, job, "rerun", known="0").status_code == 409
    assert act(pages, job, "retry").status_code == 409
    strange = pages.get(f"/jobs/{job.id}?done=<script>", headers=ADA).text
    assert "<script>" not in strange
    operated.advance(timedelta(minutes=1))
    assert operated.jobs() == 1


def test_a_job_that_is_not_there_can_not_be_asked(
    operated: World, pages: FlaskClient
) -> None:
    job = submit(operated)
    token = token_of(pages, job)

    for id in ("a" * 26, "x", "%2e%2e", "A" * 26, "../x"):
        answer = pages.post(
            f"/jobs/{id}/cancel",
            headers=ADA | {"Sec-Fetch-Site": "same-origin"},
            data={forms.MEMBER: token},
        )
        assert answer.status_code == 404, id
