// SPDX-License-Identifier: Apache-2.0
"use strict";

/** Bytes of a base64 text. */
function bytesOf(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i += 1) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

/** Inflate a zlib stream. */
async function inflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** Levels of one slice: planes of low and high bytes hold the folded residuals of the median edge prediction. */
function unpredict(planes, rows, columns) {
  const count = rows * columns;
  if (planes.length !== 2 * count) throw new Error(`found ${planes.length} bytes in a slice, need ${2 * count}`);
  const levels = new Uint16Array(count);
  for (let row = 0, at = 0; row < rows; row += 1) {
    let left = 0;
    let corner = 0;
    for (let column = 0; column < columns; column += 1, at += 1) {
      const above = row ? levels[at - columns] : 0;
      const low = left < above ? left : above;
      const high = left < above ? above : left;
      const plane = left + above - corner;
      const folded = planes[at] | (planes[at + count] << 8);
      const residual = folded & 1 ? -((folded + 1) >> 1) : folded >> 1;
      left = (plane < low ? low : plane > high ? high : plane) + residual;
      levels[at] = left;
      corner = above;
    }
  }
  return levels;
}

/** One stack of slices, unpacked when first asked for. */
class Stack {
  constructor(element, slices, rows, columns) {
    this.texts = element.textContent.split("\n");
    element.remove(); // the text is held once, here, and dropped slice by slice
    if (this.texts.length !== slices) throw new Error(`found ${this.texts.length} slices, need ${slices}`);
    this.rows = rows;
    this.columns = columns;
    this.slices = new Array(slices).fill(null);
    this.pending = new Map();
  }

  /** Levels of a slice, or null while it is still packed. */
  get(index) {
    return this.slices[index];
  }

  load(index) {
    if (this.slices[index]) return Promise.resolve(this.slices[index]);
    if (!this.pending.has(index)) {
      const work = inflate(bytesOf(this.texts[index])).then((planes) => {
        this.slices[index] = unpredict(planes, this.rows, this.columns);
        this.texts[index] = "";
        this.pending.delete(index);
        return this.slices[index];
      });
      this.pending.set(index, work);
    }
    return this.pending.get(index);
  }
}
