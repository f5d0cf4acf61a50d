"use strict";
// One stream a page: the server sends a part again when it has changed, and this puts it in its place. Everything that
// is shown was made by the server, so the page is the same without this script, only not by itself.
(() => {
  const run = document.getElementById("run"), lost = document.getElementById("lost"), link = document.getElementById("link");
  const text = document.getElementById("filter-text"), tone = document.getElementById("filter-tone"), count = document.getElementById("filter-count");
  const WAIT = 3000, SILENCE = 30000;
  const name = document.title;
  let source = null, heard = Date.now(), ended = false;

  const linked = (good, word) => {
    lost.hidden = good;
    link.className = "state " + (good ? "busy" : "review");
    link.lastElementChild.textContent = word;
  };

  const filter = () => {
    const wanted = text.value.trim().toLowerCase(), kind = tone.value, lines = document.querySelectorAll(".log li");
    let shown = 0;
    for (const line of lines) {
      const fits = (!kind || (kind === "grave" ? /fail|review/ : /pass/).test(line.className)) && line.textContent.toLowerCase().includes(wanted);
      line.hidden = !fits;
      shown += fits;
    }
    count.textContent = wanted || kind ? `${shown} of the last ${lines.length} lines` : "";
  };

  const put = (id, html) => {
    const place = document.getElementById(id);
    if (!place) return;
    const made = document.createElement("div");
    made.innerHTML = html;
    // A question that somebody has open stays, as long as it is still asked.
    const asked = place.querySelector("details[open] > summary"), again = made.querySelector("summary");
    if (asked && again && asked.textContent === again.textContent) return;
    // Whoever has scrolled a table aside, or stands in it by the keyboard, finds it as it was.
    const kept = [...place.querySelectorAll(".scroll, .log")].map((old) => [old.scrollLeft, old.scrollTop, old === document.activeElement]);
    place.replaceChildren(...made.childNodes);
    place.querySelectorAll(".scroll, .log").forEach((now, index) => {
      const [left, top, focused] = kept[index] || [0, 0, false];
      now.scrollLeft = left;
      now.scrollTop = top;
      if (focused) now.focus({ preventScroll: true });
    });
    if (id === "log") filter();
    if (id === "now") document.title = `${place.querySelector("h1").textContent} \u2013 ${name}`;
  };

  const open = () => {
    if (source) source.close();
    source = new EventSource(run.dataset.stream);
    source.onopen = () => { heard = Date.now(); linked(true, "live"); };
    source.onerror = () => linked(false, "no connection");
    source.addEventListener("part", (event) => {
      heard = Date.now();
      linked(true, "live");
      const part = JSON.parse(event.data);
      put(part.id, part.html);
      if (part.id !== "problem") document.getElementById("problem").replaceChildren();
    });
    source.addEventListener("beat", () => { heard = Date.now(); });
    source.addEventListener("left", () => { ended = true; source.close(); location.reload(); });
  };

  // A browser gives up on a stream that was answered with an error, as by a proxy whose server is away: ask again.
  setInterval(async () => {
    if (ended || (source.readyState !== EventSource.CLOSED && Date.now() - heard < SILENCE)) return;
    heard = Date.now();
    const known = await fetch(run.dataset.session).catch(() => null);
    if (known && known.status === 404) { ended = true; location.reload(); } else if (known && known.ok) open();
  }, WAIT);

  text.addEventListener("input", filter);
  tone.addEventListener("change", filter);
  // A stream that is left open keeps one of the few connections that a browser has for a server.
  addEventListener("pagehide", () => source.close());
  addEventListener("pageshow", (event) => { if (event.persisted) open(); });
  open();
  filter();
})();
