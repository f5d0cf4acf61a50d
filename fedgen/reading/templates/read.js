// Keys and the window; without this file the page works with Tab, arrows, Space and Enter.
"use strict";
const form = document.querySelector("form");
const choices = [...form.querySelectorAll("input[name=choice]")];
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inMark = document.activeElement && document.activeElement.name && document.activeElement.name.startsWith("mark-");
  const number = Number(event.key);
  if (inMark && number >= 1 && number <= 5) {
    const same = [...form.querySelectorAll(`input[name="${document.activeElement.name}"]`)];
    same[number - 1].checked = true;
    same[number - 1].focus();
    event.preventDefault();
  } else if (!inMark && number >= 1 && number <= choices.length) {
    choices[number - 1].checked = true;
    choices[number - 1].focus();
    event.preventDefault();
  } else if (event.key === "Enter" && document.activeElement.type !== "submit" && document.activeElement.id !== "reset") {
    form.requestSubmit();
    event.preventDefault();
  }
});
let sent = false;
form.addEventListener("submit", (event) => {
  if (sent) event.preventDefault();
  sent = true;
});
const level = document.getElementById("level");
const width = document.getElementById("width");
const kept = JSON.parse(sessionStorage.getItem("window") || "null");
if (kept) [level.value, width.value] = kept;
function apply() {
  const slope = 1 / Number(width.value);
  const intercept = 0.5 - Number(level.value) * slope;
  for (const each of document.querySelectorAll("#window feComponentTransfer > *")) {
    each.setAttribute("slope", slope);
    each.setAttribute("intercept", intercept);
  }
  const whole = Number(level.value) === 0.5 && Number(width.value) === 1;
  for (const image of document.images) image.style.filter = whole ? "" : "url(#window)";
  sessionStorage.setItem("window", JSON.stringify([level.value, width.value]));
}
level.addEventListener("input", apply);
width.addEventListener("input", apply);
document.getElementById("reset").addEventListener("click", () => {
  level.value = 0.5;
  width.value = 1;
  apply();
});
document.querySelector(".window").hidden = false;
apply();
