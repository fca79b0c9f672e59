// SPDX-License-Identifier: Apache-2.0

const WINDOW_LIMITS = { level: [0, 4], width: [0.02, 4] };

/** The grey window of one contrast: its values, its presets and its controls. */
class WindowControl {
  constructor(template, contrast, presets, initial, changed) {
    this.root = template.content.firstElementChild.cloneNode(true);
    this.presets = presets;
    this.initial = initial;
    this.changed = changed;
    this.root.querySelector("legend").textContent = `${contrast} window`;
    this.choice = this.root.querySelector("select");
    this.choice.setAttribute("aria-label", `${contrast} window preset`);
    for (const name of Object.keys(presets)) {
      this.choice.add(new Option(`${name[0].toUpperCase()}${name.slice(1)}`, name));
    }
    this.custom = new Option("Changed", "");
    this.custom.hidden = true;
    this.choice.add(this.custom);
    this.choice.addEventListener("change", () => this.choice.value && this.pick(this.choice.value));
    for (const key of ["level", "width"]) {
      for (const input of this.root.querySelectorAll(`input.${key}`)) {
        input.setAttribute("aria-label", `${contrast} window ${key}`);
        input.addEventListener(input.type === "range" ? "input" : "change", () => {
          const value = Number.parseFloat(input.value);
          this.set({ [key]: Number.isFinite(value) ? value : this[key] });
        });
      }
    }
    const reset = this.root.querySelector(".reset");
    reset.setAttribute("aria-label", `Reset ${contrast} window`);
    reset.addEventListener("click", () => this.pick(this.initial));
    this.pick(initial);
  }

  /** Name of the preset in force, or "" for a window of the reader's own. */
  get preset() {
    const same = (a, b) => Math.abs(a - b) < 1e-6;
    const found = Object.entries(this.presets).find(([, p]) => same(p.level, this.level) && same(p.width, this.width));
    return found ? found[0] : "";
  }

  get text() {
    return `L ${this.level.toFixed(2)}  W ${this.width.toFixed(2)}`;
  }

  pick(name) {
    this.set(this.presets[name]);
  }

  next() {
    const names = Object.keys(this.presets);
    this.pick(names[(names.indexOf(this.preset) + 1) % names.length]);
  }

  set({ level = this.level, width = this.width }) {
    const limit = (value, [low, high]) => Math.min(Math.max(value, low), high);
    this.level = limit(level, WINDOW_LIMITS.level);
    this.width = limit(width, WINDOW_LIMITS.width);
    for (const key of ["level", "width"]) {
      for (const input of this.root.querySelectorAll(`input.${key}`)) input.value = this[key].toFixed(2);
    }
    const { preset } = this;
    this.choice.value = preset;
    this.custom.hidden = preset !== "";
    this.root.classList.toggle("altered", preset !== this.initial);
    this.changed();
  }
}
