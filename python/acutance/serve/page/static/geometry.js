// Where things lie. Pictures are areas: pixel i of the input covers [i, i + 1] in input coordinates, and of a picture
// enlarged by s pixel j covers [j / s, (j + 1) / s], so that both share their corners.

export class View {
  constructor() {
    this.x = 0; // input coordinates in the middle of a pane
    this.y = 0;
    this.zoom = 1; // CSS pixels for a row of the input
    this.aspect = 1; // width of an input pixel by its height
    this.fitted = true;
  }

  fit(picture, width, height) {
    this.aspect = picture.spacing ? picture.spacing[1] / picture.spacing[0] : 1;
    this.x = picture.cols / 2;
    this.y = picture.rows / 2;
    this.zoom = Math.max(1e-3, Math.min(width / (picture.cols * this.aspect), height / picture.rows));
    this.fitted = true;
  }

  toInput(px, py, width, height) {
    return [this.x + (px - width / 2) / (this.zoom * this.aspect), this.y + (py - height / 2) / this.zoom];
  }

  pan(dx, dy) {
    this.x -= dx / (this.zoom * this.aspect);
    this.y -= dy / this.zoom;
    this.fitted = false;
  }

  // Zoom by a factor; what lies at (px, py) of the pane stays there.
  scale(factor, px, py, width, height) {
    const [x, y] = this.toInput(px, py, width, height);
    this.zoom = Math.min(200, Math.max(0.02, this.zoom * factor));
    const [moved, down] = this.toInput(px, py, width, height);
    this.x += x - moved;
    this.y += y - down;
    this.fitted = false;
  }
}

// Row and column of the pixel of a picture, `scale` of whose pixels make one of the input, at an input coordinate.
export function pixelAt(picture, scale, x, y) {
  const col = Math.floor(x * scale);
  const row = Math.floor(y * scale);
  return row >= 0 && col >= 0 && row < picture.rows && col < picture.cols ? [row, col] : null;
}

export function valuesAt(picture, row, col) {
  const first = (row * picture.cols + col) * picture.channels;
  const stored = Array.from(picture.data.subarray(first, first + picture.channels));
  return stored.map((v) => v * picture.slope + picture.intercept);
}

// Place in the patient, in mm, of the centre of a pixel; without a plane the distance from the picture's corner.
export function placeOf(picture, row, col) {
  if (picture.plane) {
    const { origin, down, right } = picture.plane;
    return { patient: origin.map((o, i) => o + row * down[i] + col * right[i]) };
  }
  if (picture.spacing) return { corner: [(col + 0.5) * picture.spacing[1], (row + 0.5) * picture.spacing[0]] };
  return null;
}

export function placeText(place) {
  if (!place) return "";
  if (place.corner) return `${place.corner[0].toFixed(1)}, ${place.corner[1].toFixed(1)} mm from the corner`;
  const letters = [["R", "L"], ["A", "P"], ["F", "H"]];
  return place.patient.map((v, i) => `${letters[i][v < 0 ? 0 : 1]} ${Math.abs(v).toFixed(1)}`).join("  ") + " mm";
}

export function valueText(values, unit) {
  const text = values.map((v) => (Number.isInteger(v) ? String(v) : Number.isFinite(v) ? v.toPrecision(5) : "missing"));
  return `${text.join(" ").replaceAll("-", "\u2212")} ${unit}`.trim();
}
