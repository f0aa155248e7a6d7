// Refreshes what a page shows, lets times grow old, and copies texts. A page without
// script works the same, and is reloaded by hand.
"use strict";

const LONGEST_PAUSE = 60_000; // between two tries, in milliseconds
const NO_ANSWER_AFTER = 20_000;
const root = document.documentElement;
root.classList.add("scripted");

const say = (text) => {
  document.getElementById("said").textContent = text;
};

// ---- Times

// The server's clock is what ages are by: this one may be wrong.
let ahead = clockAhead(document);

function clockAhead(page) {
  const now = Date.parse(page.body.dataset.now);
  return Number.isNaN(now) ? 0 : now - Date.now();
}

// As `views/words.py: age` writes it.
function age(seconds) {
  for (const [unit, size, most] of [["s", 1, 60], ["m", 60, 60], ["h", 3600, 48]]) {
    if (seconds < size * most) return `${Math.floor(seconds / size)}${unit}`;
  }
  return `${Math.floor(seconds / 86400)}d`;
}

function growOld() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll("time[data-ago]")) {
    const passed = Math.floor((now - Date.parse(time.dateTime)) / 1000);
    const text = passed >= 0 ? `${age(passed)} ago` : `in ${age(-passed)}`;
    if (time.textContent !== text) time.firstChild.data = text;
  }
}

// ---- Refreshing

// Makes an element like its fresh self. What is the same on both sides is not touched,
// so that focus, selected text, scrolled tables and opened details stay. Children with
// an id are found by it, others by their order.
function morph(old, fresh) {
  if (old.isEqualNode(fresh)) return;
  if (old.nodeType !== Node.ELEMENT_NODE) {
    old.data = fresh.data;
    return;
  }
  for (const { name } of [...old.attributes]) {
    if (!fresh.hasAttribute(name) && !isOurs(old, name)) old.removeAttribute(name);
  }
  for (const { name, value } of fresh.attributes) {
    if (old.getAttribute(name) !== value && !isOurs(old, name)) {
      old.setAttribute(name, value);
    }
  }
  const wanted = new Set([...fresh.children].map((child) => child.id));
  const known = new Map();
  for (const child of [...old.children]) {
    if (!child.id) continue;
    if (wanted.has(child.id)) known.set(child.id, child);
    else child.remove();
  }
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const same = child.id ? known.get(child.id) : at;
    if (!same || same.nodeName !== child.nodeName || (same.id ?? "") !== (child.id ?? "")) {
      old.insertBefore(child, at);
      continue;
    }
    while (at && at !== same && !at.id) at = removed(at);
    if (at === same) at = at.nextSibling;
    else old.insertBefore(same, at);
    morph(same, child);
  }
  while (at) at = removed(at);
}

// What a person does to an element is not undone.
function isOurs(element, name) {
  return name === "open" && element.nodeName === "DETAILS";
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function show(fresh) {
  const active = document.activeElement;
  // The first block that is on the screen keeps its place there.
  const seen = [...document.querySelectorAll("main [id]")].find(
    (each) => each.getBoundingClientRect().top >= 0,
  );
  const top = seen?.getBoundingClientRect().top;

  for (const old of document.querySelectorAll("[data-live][id]")) {
    const now = fresh.getElementById(old.id);
    if (now) morph(old, now);
  }
  document.title = fresh.title;
  ahead = clockAhead(fresh);
  growOld();

  if (active !== document.activeElement) again(active)?.focus({ preventScroll: true });
  if (seen?.isConnected && window.scrollY > 0) {
    window.scrollBy(0, seen.getBoundingClientRect().top - top);
  }
}

// An element that has taken the place of one that was focused.
function again(gone) {
  if (gone.isConnected) return gone;
  if (gone.id) return document.getElementById(gone.id);
  const links = document.querySelectorAll("main a[href]");
  return [...links].find((each) => each.href === gone.href);
}

const refreshing = {
  every: 0, // milliseconds; 0: not at all
  failed: 0, // times one after the other
  timer: 0,
  held: false, // by the button
  pressed: false, // a text is being selected, or a button pressed
  asking: false,
  at: new Date(Date.now() + ahead),
};

function everyOf(page) {
  return Number(page.querySelector("[data-refresh]")?.dataset.refresh ?? 0) * 1000;
}

function plan() {
  clearTimeout(refreshing.timer);
  const { every, failed, held } = refreshing;
  if (!every || held || document.hidden) return;
  const pause = Math.min(every * 2 ** failed, Math.max(every, LONGEST_PAUSE));
  refreshing.timer = setTimeout(refresh, pause);
}

async function refresh() {
  if (refreshing.asking) return;
  refreshing.asking = true;
  let why = "No answer.";
  try {
    const answer = await fetch(location.href, {
      headers: { Accept: "text/html", "X-Requested-With": "XMLHttpRequest" },
      cache: "no-store",
      signal: AbortSignal.timeout(NO_ANSWER_AFTER),
    });
    if (answer.redirected || [401, 403].includes(answer.status)) {
      why = "You are signed out, or may not look any more: reload the page.";
    }
    if (answer.redirected || !answer.ok) throw new Error(`answer ${answer.status}`);
    const text = await answer.text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    if (!refreshing.held && !refreshing.pressed) {
      show(fresh);
      refreshing.every = everyOf(fresh);
      document.getElementById("pause").hidden = !refreshing.every;
      refreshing.at = new Date(Date.now() + ahead);
    }
    if (!refreshing.held) state(refreshing.failed ? "Refreshing again." : "");
    refreshing.failed = 0;
  } catch {
    // Said once: a region that is read aloud should not repeat itself.
    if (!refreshing.failed) {
      state(`${why} ${asItWas()}; trying again.`, true);
    }
    refreshing.failed += 1;
  }
  refreshing.asking = false;
  plan();
}

function asItWas() {
  return `This is how it was at ${refreshing.at.toISOString().slice(11, 19)} UTC`;
}

function state(text, isTrouble = false) {
  document.getElementById("refreshed").textContent = text;
  document.querySelector(".foot").classList.toggle("trouble", isTrouble);
}

function startRefreshing() {
  refreshing.every = everyOf(document);
  if (!refreshing.every) return;
  const button = document.getElementById("pause");
  button.hidden = false;
  button.addEventListener("click", () => {
    refreshing.held = !refreshing.held;
    button.textContent = refreshing.held ? "Refresh again" : "Pause refreshing";
    state(refreshing.held ? `Paused. ${asItWas()}.` : "");
    if (refreshing.held) plan();
    else refresh();
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden || refreshing.held || !refreshing.every) plan();
    else refresh();
  });
  for (const [name, pressed] of [["down", true], ["up", false], ["cancel", false]]) {
    document.addEventListener(`pointer${name}`, () => {
      refreshing.pressed = pressed;
    });
  }
  plan();
}

// ---- Copying

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const label = button.dataset.label ?? button.textContent;
  button.dataset.label = label;
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
  } catch {
    // Not allowed, or no secure address: the text is selected instead.
    const text = button.parentElement.querySelector("code") ?? button.parentElement;
    getSelection().selectAllChildren(text);
    done = "Selected";
  }
  button.textContent = done;
  say(done === "Copied" ? "Copied." : "Selected: copy it with your keyboard.");
  setTimeout(() => {
    button.textContent = label;
    say("");
  }, 2000);
});

setInterval(() => document.hidden || growOld(), 1000);
startRefreshing();
