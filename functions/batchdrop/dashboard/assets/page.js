// Refreshes what a page shows, and copies texts. A page without script works the same,
// and is reloaded by hand.
"use strict";

const live = () => document.querySelectorAll("[data-live][id]");

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
  for (const old of live()) {
    const now = fresh.getElementById(old.id);
    // Whoever is at work in it is not disturbed.
    if (!now || old.contains(document.activeElement)) continue;
    if (now.innerHTML !== old.innerHTML) old.replaceChildren(...now.childNodes);
  }
  showButtons();
}

function showButtons() {
  for (const button of document.querySelectorAll("button[data-copy]")) {
    button.hidden = false;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  await navigator.clipboard.writeText(button.dataset.copy);
  button.textContent = "Copied";
});

showButtons();
const timed = document.querySelector("[data-refresh]");
if (timed) {
  const every = Number(timed.dataset.refresh) * 1000;
  setInterval(() => refresh().catch(() => {}), every);
}
