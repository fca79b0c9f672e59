// SPDX-License-Identifier: Apache-2.0

/** Where the synthesis may be off: colours over it, a legend, and the value under the pointer. */
class Overlay {
  constructor(settings, levels, step, legend) {
    const { bands, perUnit, unit, sign, suffix } = settings;
    Object.assign(this, { perUnit, step, sign, suffix });
    this.bands = bands.map(({ colour, opacity }) => [...colour.map((part) => part * opacity), 1 - opacity]);
    this.bandOf = new Int8Array(levels);
    for (let i = 0; i < levels; i += 1) {
      const value = (i * step) / perUnit;
      this.bandOf[i] = bands.filter((band) => value >= band.from).length - 1;
    }
    for (const { colour, words } of bands) {
      const entry = document.createElement("span");
      const swatch = document.createElement("i");
      swatch.style.background = `rgb(${colour.join(" ")})`;
      entry.append(swatch, words);
      legend.append(entry);
    }
    const said = document.createElement("span");
    said.className = "unit";
    said.textContent = unit;
    legend.append(said);
  }

  /** Colour the picture of a slice, RGBA bytes. */
  tint(bytes, values) {
    for (let i = 0; i < values.length; i += 1) {
      const band = this.bandOf[values[i]];
      if (band < 0) continue;
      const [red, green, blue, kept] = this.bands[band];
      bytes[4 * i] = bytes[4 * i] * kept + red;
      bytes[4 * i + 1] = bytes[4 * i + 1] * kept + green;
      bytes[4 * i + 2] = bytes[4 * i + 2] * kept + blue;
    }
  }

  /** The value of a pixel in words. */
  text(level) {
    return `${this.sign}${((level * this.step) / this.perUnit).toFixed(0)}${this.suffix}`;
  }
}
