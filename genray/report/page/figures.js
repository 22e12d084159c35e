// Draws a figure when it comes near the window, in the colours of the page, without what the filter hides.
// A trace's meta says of which models it is, and of lines through many trials, each with `points` and a gap, their texts.
const figures = JSON.parse(document.getElementById("figures").textContent);
const places = document.querySelectorAll("[data-figure]");
const drawn = new Set();

function plotly() { // runs its code at the first figure: at once, it would take most of the time of opening the page
  if (!window.Plotly) {
    const script = document.createElement("script");
    script.textContent = document.getElementById("plotly").textContent;
    document.head.append(script);
  }
  return window.Plotly;
}

function themed(layout) {
  const css = getComputedStyle(document.documentElement);
  const color = (name) => css.getPropertyValue(name).trim();
  const axis = { gridcolor: color("--line"), linecolor: color("--line"), zeroline: false, automargin: true, fixedrange: true };
  const hover = { bgcolor: color("--raised"), bordercolor: color("--line"), font: { color: color("--text") } };
  const readable = (note) => ({ bgcolor: color("--raised"), borderpad: 1, ...note }); // lines run behind the text
  return {
    ...layout,
    annotations: (layout.annotations || []).map(readable),
    xaxis: { ...axis, ...layout.xaxis },
    yaxis: { ...axis, ...layout.yaxis },
    font: { family: css.fontFamily, size: 12, color: color("--muted") },
    hoverlabel: { ...hover, align: "left" },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    dragmode: false,
  };
}

function shown(data) {
  const boxes = document.querySelectorAll("[data-filter=model] input:not(:checked)");
  const hidden = new Set([...boxes].map((box) => box.value));
  return data.filter(({ meta }) => ![meta?.model].flat().some((model) => hidden.has(model)));
}

function withTexts(trace) { // at each point, as Plotly wants them
  const { texts, points } = trace.meta ?? {};
  return texts ? { ...trace, hovertext: texts.flatMap((text) => Array(points + 1).fill(text)) } : trace;
}

function putOff(place) { // until it is shown again: what is hidden has no size to draw in
  if (drawn.delete(place)) plotly().purge(place);
  near.observe(place);
}

function draw(place) {
  if (!place.checkVisibility()) return putOff(place);
  const { data, layout } = figures[place.dataset.figure];
  plotly().react(place, shown(data).map(withTexts), themed(layout), { displayModeBar: false, responsive: true });
  drawn.add(place);
}

function drawAnew(place) { // in the size that its place has now, which `react` does not look at
  plotly().purge(place);
  draw(place);
}

function redraw() {
  drawn.forEach(draw);
}

function choose({ target }) {
  const { choose: prefix } = target.dataset;
  for (const place of target.closest("section").querySelectorAll("[data-cost]")) {
    place.dataset.figure = `${prefix}${place.dataset.cost}-${target.value}`;
    draw(place);
  }
}

function print() {
  document.documentElement.classList.add("paper"); // a figure takes its size from the page when it is drawn
  places.forEach(drawAnew);
}

function afterPrint() {
  document.documentElement.classList.remove("paper");
  places.forEach(drawAnew);
}

const near = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    near.unobserve(target);
    draw(target);
  }
}, { rootMargin: "600px" });
places.forEach((place) => near.observe(place));
document.querySelectorAll("select[data-choose]").forEach((select) => select.addEventListener("change", choose));
document.addEventListener("recolor", redraw);
document.addEventListener("filter", redraw);
addEventListener("beforeprint", print);
addEventListener("afterprint", afterPrint);
