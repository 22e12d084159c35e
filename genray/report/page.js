// Draws a figure when it comes near the window, in the colours of the page, light or dark.
(() => {
  const figures = JSON.parse(document.getElementById("figures").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Set();

  function themed(layout) {
    const css = getComputedStyle(document.documentElement);
    const color = (name) => css.getPropertyValue(name).trim();
    const axis = { gridcolor: color("--line"), linecolor: color("--line"), zeroline: false, automargin: true, fixedrange: true };
    const hover = { bgcolor: color("--raised"), bordercolor: color("--line"), font: { color: color("--text") } };
    const readable = (note) => ({ bgcolor: color("--raised"), borderpad: 1, ...note });  // lines run behind the text
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

  function draw(place) {
    const { data, layout } = figures[place.dataset.figure];
    Plotly.react(place, data, themed(layout), { displayModeBar: false, responsive: true });
    drawn.add(place);
  }

  const places = document.querySelectorAll("[data-figure]");
  const seen = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
  dark.addEventListener("change", () => drawn.forEach(draw));
  addEventListener("beforeprint", () => places.forEach(draw));
})();
