// SPDX-License-Identifier: GPL-2.0-only
"use strict";

// A cell is compared by its number where it has one; empty cells come last, either way.
function compareCells(a, b) {
  const [x, y] = [a.dataset.k, b.dataset.k];
  if (x !== undefined && y !== undefined)
    return Number(x) - Number(y);
  return a.textContent.localeCompare(b.textContent, "en", { numeric: true });
}

function sortBy(th) {
  const body = th.closest("table").tBodies[0];
  const column = th.cellIndex;
  const down = th.getAttribute("aria-sort") === "ascending";
  for (const other of th.parentNode.cells)
    other.removeAttribute("aria-sort");
  th.setAttribute("aria-sort", down ? "descending" : "ascending");
  const isEmpty = (row) => row.cells[column].textContent === "";
  const rows = Array.from(body.rows).sort((a, b) => {
    if (isEmpty(a) || isEmpty(b))
      return isEmpty(a) - isEmpty(b);
    const order = compareCells(a.cells[column], b.cells[column]);
    return down ? -order : order;
  });
  body.append(...rows);
}

function asText(table) {
  const lines = Array.from(table.rows, (row) =>
    Array.from(row.cells, (cell) => cell.textContent.replace(/\s+/g, " ")).join("\t"));
  return lines.join("\n") + "\n";
}

// The clipboard's own interface is not there for every page that was opened from a disk.
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

for (const button of document.querySelectorAll("th button"))
  button.addEventListener("click", () => sortBy(button.parentNode));

for (const button of document.querySelectorAll("button.copy"))
  button.addEventListener("click", async () => {
    const done = await copy(asText(button.parentNode.querySelector("table")));
    button.textContent = done ? "Copied" : "Select and copy it by hand";
  });

// What is folded is printed all the same.
window.addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details"))
    details.open = true;
});
