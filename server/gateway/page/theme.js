// Dark or light: the system's until the reader chooses, then what was chosen.

export function watchTheme(button) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const show = () => {
    const chosen = localStorage.getItem("theme");
    if (chosen) document.documentElement.dataset.theme = chosen;
    button.setAttribute("aria-pressed", String(chosen ? chosen === "dark" : system.matches));
  };
  button.addEventListener("click", () => {
    localStorage.setItem("theme", button.getAttribute("aria-pressed") === "true" ? "light" : "dark");
    show();
  });
  system.addEventListener("change", show);
  show();
}
