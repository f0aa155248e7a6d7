"""What people do with the pages: with a keyboard, with rights or none, for a while."""

import getpass
from datetime import timedelta

import pytest
from selenium.webdriver.common.keys import Keys

from batchdrop.jobs.codes import Outcome
from tests.browser.chromium import Browser
from tests.browser.conftest import Deployed
from tests.browser.deployment import HOSTILE, SCRIPTED, SCRIPTS, dropped, served
from tests.dashboard.people import bearer
from tests.often import mostly
from tests.waiting import until

#: What the keyboard must reach. A group of radio buttons, or of details of one name,
#: is reached as one or as several, as the browser likes.
_CONTROLS = """
return [...document.querySelectorAll(
  "a[href], button, input, select, textarea, summary, [tabindex='0']")].filter(
  (each) => each.checkVisibility({visibilityProperty: true}) && !each.disabled &&
    each.type !== "hidden");
"""
#: Notes each element that gets the focus, and whether people see that it has it.
_NOTE = """
window.reached = new Map();
document.addEventListener("focusin", ({target}) => {
  const {outlineStyle, outlineWidth, boxShadow} = getComputedStyle(target);
  const {width, height, left} = target.getBoundingClientRect();
  const marked = (outlineStyle !== "none" && parseFloat(outlineWidth) >= 1) ||
    boxShadow !== "none";
  window.reached.set(target, marked && width > 1 && height > 1 && left >= 0);
});
"""
_NOT_REACHED = """
return arguments[0].filter((each) => window.reached.get(each) !== true).map(
  (each) => `${each.outerHTML.slice(0, 120)}: ${window.reached.get(each)}`);
"""
#: A page's script waits for a test instead of for a time.
_WAIT = """
const waiting = new Map();
let last = 0;
window.setTimeout = (call) => { waiting.set(++last, call); return last; };
window.clearTimeout = (number) => waiting.delete(number);
window.pass = () => {
  const calls = [...waiting.values()];
  waiting.clear();
  for (const call of calls) call();
};
"""


@pytest.mark.parametrize(
    "path", mostly("/", "/jobs/{}", also=["/jobs/{}/rows", "/costs", "/status"])
)
def test_the_keyboard_reaches_each_control_and_shows_where_it_is(
    path: str, deployed: Deployed, browser: Browser
) -> None:
    browser.open(path.format(deployed.jobs["support/tickets.jsonl"].id))
    controls = browser.run(_CONTROLS)
    browser.run(_NOTE)

    browser.press(Keys.TAB)
    first = browser.text(":focus")
    browser.press(*[Keys.TAB] * (len(controls) + 2))

    assert first == "Skip to the content"
    assert browser.run(_NOT_REACHED, controls) == []


def test_the_skip_link_goes_past_the_navigation(
    deployed: Deployed, browser: Browser
) -> None:
    browser.open("/")

    browser.press(Keys.TAB, Keys.ENTER)
    until(lambda: browser.run("return document.activeElement.id") == "main")
    browser.press(Keys.TAB)

    assert browser.run("return document.activeElement.closest('main') !== null")


def until_shown(browser: Browser, text: str, selector: str = "main") -> None:
    """Lets time pass on a page with `_WAIT` until it shows a text, by itself."""

    def is_shown() -> bool:
        browser.run("window.pass()")
        return text in browser.text(selector)

    until(is_shown, seconds=20, every=0.1)


def test_a_job_is_followed_from_its_drop_to_its_results_without_a_reload(
    deployed: Deployed, browser: Browser
) -> None:
    world = deployed.world
    added = browser.command("Page.addScriptToEvaluateOnNewDocument", source=_WAIT)
    browser.open("/")
    job = dropped(world, "nightly/followed.jsonl")

    until_shown(browser, "followed.jsonl")
    browser.find(f'a[href="/jobs/{job.id}"]').click()
    browser.look(width=360)
    until(lambda: browser.path == f"/jobs/{job.id}")
    browser.run(
        "window.same = true; document.querySelector('#history summary').click();"
        "document.querySelector('#history summary').focus({preventScroll: true});"
        "window.scrollTo(0, document.querySelector('#history').offsetTop - 50);"
    )
    place = "return document.activeElement.getBoundingClientRect().top"
    top = browser.run(place)
    world.ticks(2, every=timedelta(seconds=80))
    until_shown(browser, "JOB_STATE_RUNNING")
    world.ticks_until(lambda: world.job(job.source).is_done, every=timedelta(minutes=3))
    until_shown(browser, "succeeded", "#job")
    until_shown(browser, "batchdrop results", "#commands")

    assert browser.run("return window.same")
    assert browser.run("return document.querySelector('#history').open")
    assert browser.run("return document.activeElement.matches('#history summary')")
    assert abs(browser.run(place) - top) < 5
    assert "20 rows" in browser.text("#job")
    assert browser.seen().console == []
    browser.command(
        "Page.removeScriptToEvaluateOnNewDocument", identifier=added["identifier"]
    )


@pytest.mark.parametrize(
    "scripts", mostly(True, also=[False]), ids=["scripts", "no-scripts"]
)
def test_an_operator_cancels_a_job_and_its_history_says_who(
    scripts: bool, deployed: Deployed, browser: Browser
) -> None:
    world = deployed.world
    job = dropped(world, f"nightly/to-cancel-{scripts}.jsonl")
    browser.command("Emulation.setScriptExecutionDisabled", value=not scripts)
    browser.open("/")

    browser.find(f'a[href="/jobs/{job.id}"]').click()
    form = f'form[action="/jobs/{job.id}/cancel"]'
    assert not browser.find(form).is_displayed()
    browser.find("details.action summary.danger").click()
    assert "paid" in browser.find(form).text
    browser.find(f"{form} button").click()
    until(lambda: browser.path == f"/jobs/{job.id}?done=cancel")
    said = browser.text(".notice")
    world.ticks(2)
    browser.open(f"/jobs/{job.id}")
    browser.find("#history summary").click()

    assert said.startswith("The job is cancelled")
    assert world.job(job.source).outcome is Outcome.CANCELLED
    assert f"cancel requested by {getpass.getuser()}" in browser.text("#history")
    assert browser.all(form) == []
    assert browser.seen().console == []


def test_a_reader_sees_no_action_and_may_do_none(
    deployed: Deployed, browser: Browser
) -> None:
    world = deployed.world
    job = deployed.jobs["slow/yearly-report.jsonl"]
    operators = ("ada@example.com",)
    readers = ("ben@example.com",)
    with served(
        world,
        dashboard_access="iam",
        dashboard_operators=operators,
        dashboard_readers=readers,
    ) as url:
        browser = browser.at(url)
        browser.command("Network.enable")
        browser.command("Network.setExtraHTTPHeaders", headers=bearer(*readers))
        browser.open(f"/jobs/{job.id}")
        seen = browser.text()
        forms = browser.all("form[method=post]")
        answer = browser.driver.execute_async_script(
            "const [path, done] = arguments;"
            "fetch(path, {method: 'POST'}).then((each) => done(each.status));",
            f"/jobs/{job.id}/cancel",
        )
        browser.command(
            "Network.setExtraHTTPHeaders", headers=bearer("eve@example.com")
        )
        browser.open("/")
        refused, wide, wrong = browser.text(), browser.sideways(), browser.offences()
    world.choose(dashboard_access="local")

    assert "You may look, and not act" in seen
    assert forms == []
    assert answer == 403
    assert world.job(job.source).cancel_request is None
    assert "Not allowed" in refused
    assert "Eve@example.com is none of the readers" in refused
    assert (wide, wrong) == ([], [])


def test_names_texts_and_errors_of_others_are_shown_and_never_run(
    deployed: Deployed, browser: Browser
) -> None:
    paths = ["/"]
    paths += [f"/jobs/{deployed.jobs[name].id}" for name in HOSTILE]
    rows = f"/jobs/{deployed.jobs[SCRIPTED].id}/rows"
    paths += [rows, *(f"{rows}?id={n}" for n in (1, 2, 3))]
    hacked = {}
    for path in paths:
        browser.open(path)
        hacked[path] = browser.run("return window.hacked")
        if path == "/":
            listed = browser.text()
        if path == f"/jobs/{deployed.jobs[SCRIPTED].id}":
            failed = browser.text("#rows")
    one = browser.text()

    assert set(hacked.values()) == {None}
    assert "<script>window.hacked=1</script>.jsonl" in listed
    assert "<script>window.hacked=" in failed
    assert SCRIPTS in one
    assert browser.seen().console == []
