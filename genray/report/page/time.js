// Takes a wall of samples back in training time: each picture is its run's last one up to the epoch of the slider.
function at(pictures, epoch) {
  return pictures.findLast((picture) => Number(picture.dataset.epoch) <= epoch) ?? pictures[0];
}

function show(wall, slider) {
  const epoch = Number(slider.dataset.epochs.split(" ")[slider.value]);
  wall.querySelector("output").value = `epoch ${epoch}`;
  slider.setAttribute("aria-valuetext", `epoch ${epoch}`);
  for (const figure of wall.querySelectorAll("figure:has([data-epoch])")) {
    const pictures = [...figure.querySelectorAll("[data-epoch]")];
    const current = at(pictures, epoch);
    pictures.forEach((picture) => { picture.hidden = picture !== current; });
    figure.querySelector(".epoch").textContent = `epoch ${current.dataset.epoch}`;
  }
}

for (const wall of document.querySelectorAll("[data-wall]")) {
  const slider = wall.querySelector("input[type=range]");
  slider.addEventListener("input", () => show(wall, slider));
  show(wall, slider); // a reload keeps the slider where it was
}
