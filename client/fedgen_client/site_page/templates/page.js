// The token behind the # is put into the form, and the first page is kept fresh; all works without this file.
"use strict";
const token = document.getElementById("token");
if (token && location.hash.length > 1) {
  token.value = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  document.getElementById("enter").requestSubmit();
}
for (const form of document.querySelectorAll("form[data-busy]")) {
  form.addEventListener("submit", () => {
    const button = form.querySelector("button");
    button.textContent = form.dataset.busy;
    // After the form is on its way.
    setTimeout(() => { button.disabled = true; }, 0);
  });
}
const fresh = document.getElementById("fresh");
async function again() {
  if (document.hidden) return;
  try {
    const reply = await fetch(location.href, { headers: { Accept: "text/html" } });
    if (!reply.ok) { location.reload(); return; }
    const next = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("fresh");
    // Never under somebody's hands.
    if (next && next.innerHTML !== fresh.innerHTML && !fresh.contains(document.activeElement)) fresh.replaceChildren(...next.childNodes);
  } catch { /* The program was ended: what is shown stays. */ }
}
if (fresh) setInterval(again, 5000);
