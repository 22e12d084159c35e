// Sorts a table by the column whose heading is pressed: its better end first, at the next press the other.
const OTHER = { ascending: "descending", descending: "ascending" };

function valueOf(cell) {
  const text = cell.dataset.value ?? cell.textContent.trim();
  return text === "" || Number.isNaN(Number(text)) ? text : Number(text);
}

function compare(a, b) {
  const numbers = typeof a === "number" && typeof b === "number";
  return numbers ? a - b : String(a).localeCompare(String(b), undefined, { numeric: true });
}

function sort(table, heading) {
  const { first } = heading.dataset;
  const order = heading.ariaSort === first ? OTHER[first] : first;
  const sign = order === "ascending" ? 1 : -1;
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, value: valueOf(row.cells[heading.cellIndex]) }));
  const missing = ({ value }) => value === ""; // stays last, whichever end is first
  rows.sort((a, b) => missing(a) - missing(b) || sign * compare(a.value, b.value));
  table.tBodies[0].append(...rows.map(({ row }) => row));
  table.querySelectorAll("th[aria-sort]").forEach((other) => other.removeAttribute("aria-sort"));
  heading.setAttribute("aria-sort", order);
}

for (const table of document.querySelectorAll("table.sortable")) {
  table.tHead.addEventListener("click", ({ target }) => {
    const heading = target.closest("button")?.closest("th");
    if (heading) sort(table, heading);
  });
}
