// The switch between light and dark. Until it is pressed the page follows the system; paper is always light.
const dark = document.getElementById("dark"); // the style sheet of dark colours, on while its media query holds
const button = document.getElementById("theme");
const system = matchMedia("(prefers-color-scheme: dark)");

function isDark() {
  return matchMedia(dark.media).matches;
}

function show() {
  button.setAttribute("aria-pressed", isDark());
  document.dispatchEvent(new Event("recolor"));
}

function press() {
  dark.media = isDark() ? "not all" : "screen";
  show();
}

let onScreen;
function print() {
  onScreen = dark.media;
  dark.media = "not all";
}

function afterPrint() {
  dark.media = onScreen;
}

button.addEventListener("click", press);
system.addEventListener("change", show);
addEventListener("beforeprint", print);
addEventListener("afterprint", afterPrint);
show();
