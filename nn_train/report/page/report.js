"use strict";
// Comfort only: sorting, and switches that hide runs and classes. Without it everything is shown.
document.documentElement.classList.add("js");

const hidden = new Set();

function refresh() {
  for (const element of document.querySelectorAll("[data-series]")) {
    const off = element.dataset.series.split(" ").some((name) => hidden.has(name));
    element.classList.toggle("off", off);
  }
  for (const button of document.querySelectorAll("[data-switch]")) {
    button.setAttribute("aria-pressed", String(!hidden.has(button.dataset.switch)));
  }
}

function flip(name) {
  if (!hidden.delete(name)) hidden.add(name);
  refresh();
}

for (const button of document.querySelectorAll("button[data-switch]")) {
  button.disabled = false;
  button.addEventListener("click", () => flip(button.dataset.switch));
}
for (const box of document.querySelectorAll("input[data-box]")) {
  box.checked = true;
  box.addEventListener("change", () => flip(box.dataset.box));
}

// "" is unknown and stays last whichever way the column is sorted.
function order(a, b, sign) {
  if (a === "" || b === "") return (a === "") - (b === "");
  const difference = Number(a) - Number(b);
  return sign * (Number.isNaN(difference) ? a.localeCompare(b, undefined, { numeric: true }) : difference);
}

function sort(table, head, index) {
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
  const body = table.tBodies[0];
  const key = (row) => row.cells[index].dataset.sort;
  body.append(...[...body.rows].sort((a, b) => order(key(a), key(b), sign)));
}

for (const table of document.querySelectorAll("table.sortable")) {
  [...table.tHead.rows[0].cells].forEach((head, index) => {
    if (head.classList.contains("shown-box")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort by this column";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => sort(table, head, index));
  });
}
