(() => {
  "use strict";
  const table = document.getElementById("builds"), body = table.tBodies[0], rows = [...body.rows];
  const field = document.getElementById("words"), count = document.getElementById("count");
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const number = new Intl.NumberFormat("en");
  document.getElementById("find").hidden = false;
  const filter = () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let found = 0;
    rows.forEach((row, at) => {
      const matches = words.every((word) => texts[at].includes(word));
      if (row.hidden === matches) row.hidden = !matches;
      found += matches;
    });
    count.textContent = words.length ? `${number.format(found)} of ${number.format(rows.length)} match` : "";
  };
  field.addEventListener("input", filter);
  if (field.value) filter();
  const value = (row, column) => {
    const cell = row.cells[column], exact = cell.dataset.v;
    return exact === undefined ? cell.textContent.trim().toLowerCase() : Number(exact);
  };
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (!head.textContent || head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    button.addEventListener("click", () => {
      const downward = head.getAttribute("aria-sort") !== "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", downward ? "descending" : "ascending");
      const keyed = rows.map((row, at) => [value(row, column), at]);
      const sign = downward ? -1 : 1;
      keyed.sort(([a, i], [b, j]) => (a < b ? -sign : a > b ? sign : i - j));
      body.append(...keyed.map(([, at]) => rows[at]));
    });
  });
})();
