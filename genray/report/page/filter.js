// Hides what belongs to a model or a table whose box is not ticked: rows, pictures, lines of figures.
const fieldsets = document.querySelectorAll("[data-filter]");

function apply({ dataset: { filter: kind }, elements }) {
  const ticked = new Map([...elements].map((box) => [box.value, box.checked]));
  for (const element of document.querySelectorAll(`[data-${kind}]`)) {
    element.hidden = ticked.get(element.dataset[kind]) === false;
  }
}

function change() {
  fieldsets.forEach(apply);
  document.dispatchEvent(new Event("filter"));
}

fieldsets.forEach((fieldset) => fieldset.addEventListener("change", change));
if (document.querySelector("[data-filter] input:not(:checked)")) change(); // a reload keeps the boxes as they were
