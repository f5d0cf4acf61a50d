// What is shown is kept fresh; all works without this file.
"use strict";
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.textContent = form.dataset.busy;
    // After the form is on its way.
    setTimeout(() => { button.disabled = true; }, 0);
  });
}
const live = document.getElementById("live");
let seen = new Date(), asking = false;
// Never under somebody's hands: not where the keyboard is, and not where a question is open.
const used = (part) => part.contains(document.activeElement) || part.querySelector("details[open]");
async function again() {
  // A machine that is busy is not asked anew before it has answered.
  if (document.hidden || asking) return;
  asking = true;
  try { await renew(); } finally { asking = false; }
}
async function renew() {
  let next;
  try {
    const reply = await fetch(live.dataset.from, { headers: { Accept: "text/html" } });
    if (!reply.ok) { location.assign(live.dataset.from); return; }
    next = new DOMParser().parseFromString(await reply.text(), "text/html");
  } catch {
    const stale = document.getElementById("stale");
    stale.querySelector("time").textContent = seen.toLocaleTimeString();
    stale.hidden = false;
    return;
  }
  const newer = next.getElementById("live");
  document.getElementById("stale").hidden = true;
  // Another text is never put under the eyes of whoever reads and decides.
  const changed = newer && newer.dataset.manifest !== live.dataset.manifest;
  document.getElementById("changed").hidden = !changed;
  if (changed || !newer) return;
  seen = new Date();
  document.title = next.title;
  for (const id of live.dataset.fresh.split(" ")) {
    const part = document.getElementById(id), given = next.getElementById(id);
    if (part && given && part.innerHTML !== given.innerHTML && !used(part)) part.replaceChildren(...given.childNodes);
  }
}
if (live) {
  setInterval(again, 3000);
  document.addEventListener("visibilitychange", again);
}
