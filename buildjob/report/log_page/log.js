(() => {
  "use strict";
  const lines = [...document.querySelectorAll("#log li")], tools = document.getElementById("find");
  const field = document.getElementById("words"), count = document.getElementById("count");
  const steps = { next: 1, before: -1 };
  const number = new Intl.NumberFormat("en");
  let found = [], at = -1;
  tools.hidden = false;
  const show = () => {
    found.forEach((line, place) => line.classList.toggle("at", place === at));
    count.textContent = field.value ? (found.length ? `${number.format(at + 1)} of ${number.format(found.length)}` : "none") : "";
    if (found.length) found[at].scrollIntoView({ block: "center" });
  };
  const search = () => {
    const word = field.value.toLowerCase();
    lines.forEach((line) => line.classList.remove("found", "at"));
    found = word ? lines.filter((line) => line.textContent.toLowerCase().includes(word)) : [];
    found.forEach((line) => line.classList.add("found"));
    at = found.length ? 0 : -1;
    show();
  };
  const step = (by) => {
    if (!found.length) return;
    at = (at + by + found.length) % found.length;
    show();
  };
  let later = 0;
  field.addEventListener("input", () => { clearTimeout(later); later = setTimeout(search, 120); });
  field.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    step(event.shiftKey ? -1 : 1);
  });
  for (const [name, by] of Object.entries(steps)) document.getElementById(name).addEventListener("click", () => step(by));
})();
