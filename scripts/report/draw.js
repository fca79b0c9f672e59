// SPDX-License-Identifier: Apache-2.0

const OVERLAY_WIDTH = 280;

/** Grey of every level for a window: full depth in, 8 bit out, packed as opaque RGBA. */
function greyTable(levels, step, { level, width }) {
  const table = new Uint32Array(levels);
  const littleEndian = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1;
  for (let i = 0; i < levels; i += 1) {
    const grey = Math.round(Math.min(Math.max(((i * step - level) / width + 0.5) * 255, 0), 255));
    table[i] = littleEndian ? 0xff000000 | (grey * 0x010101) : (((grey * 0x010101) << 8) | 0xff) >>> 0;
  }
  return table;
}

/** Scale and origin, in CSS pixels, that put a view (zoom, centre in mm) into a box of a size. */
function placement(view, extent, box) {
  const scale = Math.min(box.width / extent.width, box.height / extent.height) * view.zoom;
  return { scale, left: box.width / 2 - view.x * scale, top: box.height / 2 - view.y * scale };
}

/** Keep the image in the box: centred along an axis where it fits, no empty border where it does not. */
function clampView(view, extent, box) {
  const { scale } = placement(view, extent, box);
  const clamp = (centre, size, room) => {
    const half = room / scale / 2;
    return size <= 2 * half ? size / 2 : Math.min(Math.max(centre, half), size - half);
  };
  view.x = clamp(view.x, extent.width, box.width);
  view.y = clamp(view.y, extent.height, box.height);
}

/** One place on the page that shows a stack: its own or, while flickering, another one. */
class PaneView {
  constructor(template, edges, index) {
    this.root = template.content.firstElementChild.cloneNode(true);
    this.index = index;
    const find = (name) => this.root.querySelector(name);
    this.canvas = find("canvas");
    this.stage = find(".stage");
    this.overlay = find(".overlay");
    this.large = find(".large");
    this.name = find(".name");
    this.note = find(".note");
    this.value = find(".value");
    this.mark = find(".mark");
    this.grey = find(".grey");
    this.ring = find(".ring");
    for (const [side, letter] of Object.entries(edges)) find(`.edge.${side}`).textContent = letter;
    this.native = document.createElement("canvas");
    this.image = null;
  }

  get box() {
    return { width: this.stage.clientWidth, height: this.stage.clientHeight };
  }

  /** Window the levels of a slice into the picture at native resolution. */
  paint(levels, rows, columns, table, tint = null) {
    if (!this.image) {
      this.native.width = columns;
      this.native.height = rows;
      this.image = new ImageData(columns, rows);
    }
    const pixels = new Uint32Array(this.image.data.buffer);
    for (let i = 0; i < pixels.length; i += 1) pixels[i] = table[levels[i]];
    if (tint) tint(this.image.data);
    this.native.getContext("2d").putImageData(this.image, 0, 0);
  }

  /** Bring the picture to the screen at the screen's own resolution. */
  show(view, extent, smooth) {
    const { width, height } = this.box;
    if (!width || !height || !this.image) return;
    const ratio = window.devicePixelRatio || 1;
    const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== w || this.canvas.height !== h) {
      this.canvas.width = w;
      this.canvas.height = h;
    }
    const context = this.canvas.getContext("2d", { alpha: false });
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, w, h);
    const { scale, left, top } = placement(view, extent, { width, height });
    context.imageSmoothingEnabled = smooth;
    context.imageSmoothingQuality = "high";
    const seen = this.letter(left, extent.width * scale, width);
    const place = [left, top, extent.width * scale, extent.height * scale].map((v) => v * ratio);
    context.drawImage(this.native, ...place);
    this.bar(context, scale * ratio, ratio, (seen.left + seen.width) * ratio, h, seen.width * ratio);
  }

  /** Keep letters and marks at the image where it is narrower than its pane; never closer than they need. */
  letter(left, width, room) {
    const from = Math.max(left, 0);
    const seen = { left: from, width: Math.min(left + width, room) - from };
    const least = Math.min(OVERLAY_WIDTH, room);
    if (seen.width < least) Object.assign(seen, { left: (room - least) / 2, width: least });
    this.overlay.style.left = `${seen.left}px`;
    this.overlay.style.width = `${seen.width}px`;
    return seen;
  }

  /** A length that takes at most a quarter of the width, at the lower right. */
  bar(context, perMm, ratio, w, h, width) {
    const length = [50, 20, 10, 5, 2, 1].find((mm) => mm * perMm <= width / 4);
    if (!length) return;
    const [x, y, end] = [w - 12 * ratio, h - 12 * ratio, 4 * ratio];
    const from = x - length * perMm;
    for (const [style, line] of [["rgba(0,0,0,.7)", 3.5], ["#cfd4da", 1.25]]) {
      context.strokeStyle = style;
      context.lineWidth = line * ratio;
      context.beginPath();
      context.moveTo(from, y - end);
      context.lineTo(from, y);
      context.lineTo(x, y);
      context.lineTo(x, y - end);
      context.stroke();
    }
    context.font = `${11 * ratio}px system-ui, sans-serif`;
    context.textAlign = "right";
    context.lineWidth = 3 * ratio;
    context.strokeStyle = "rgba(0,0,0,.7)";
    context.strokeText(`${length} mm`, x, y - 7 * ratio);
    context.fillStyle = "#cfd4da";
    context.fillText(`${length} mm`, x, y - 7 * ratio);
  }

  /** Ring at a place in mm, and the value there. */
  probe(place, view, extent, value) {
    this.ring.hidden = !place;
    this.value.textContent = place ? value : "";
    if (!place) return;
    const { scale, left, top } = placement(view, extent, this.box);
    this.ring.style.left = `${left + place.x * scale}px`;
    this.ring.style.top = `${top + place.y * scale}px`;
  }
}
