// Draws what tokens keep: the text coloured by it, the bits of a mask, and overlaps of tokens.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("masks").textContent);
  const count = data.tokens.length;
  // Overlaps of more tokens than these would be too small to see.
  const COMPARED = Math.min(count, 96);
  const choice = document.getElementById("mask");
  const sorted = document.getElementById("sorted");
  const text = document.getElementById("text");
  const told = document.getElementById("told");
  const bits = document.getElementById("bits");
  const overlaps = document.getElementById("overlaps");
  let pointed = null;

  for (const mask of data.masks) {
    const rowBytes = Math.ceil(mask.width / 8);
    const bytes = Uint8Array.from(mask.kept.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    mask.rows = Array.from({ length: count }, (_, token) => Uint8Array.from(
      { length: mask.width },
      (_, value) => (bytes[token * rowBytes + (value >> 3)] >> (value & 7)) & 1,
    ));
    mask.shares = mask.rows.map((row) => row.reduce((sum, bit) => sum + bit, 0) / mask.width);
  }

  const chosen = () => (choice.value === "all" ? data.masks : [data.masks[Number(choice.value)]]);
  const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const percent = (share) => `${(share * 100).toFixed(1)}%`;

  // Jaccard index; null where neither token keeps anything.
  function overlap(left, right) {
    let [common, all] = [0, 0];
    for (let value = 0; value < left.length; value += 1) {
      common += left[value] & right[value];
      all += left[value] | right[value];
    }
    return all ? common / all : null;
  }

  // Columns of the picture: the values of a mask, or all masks by their shares.
  function columns() {
    if (choice.value === "all") return data.masks.map((mask) => mask.shares);
    const { rows, width } = chosen()[0];
    const values = Array.from({ length: width }, (_, value) => rows.map((row) => row[value]));
    return sorted.checked ? values.sort((a, b) => mean(b) - mean(a)) : values;
  }

  // Between the page's paper and its accent.
  function shade(depth) {
    const style = getComputedStyle(document.documentElement);
    const part = (name) => style.getPropertyValue(name).trim().match(/[0-9a-f]{2}/gi)
      .map((pair) => parseInt(pair, 16));
    const [paper, accent] = [part("--raised"), part("--accent")];
    return paper.map((from, channel) => from + (accent[channel] - from) * depth);
  }

  function paint(canvas, width, height, value, scale) {
    canvas.width = width;
    canvas.height = height;
    canvas.style.width = `${width * scale[0]}px`;
    // A canvas that is narrowed to fit keeps its proportions.
    canvas.style.height = scale[0] === scale[1] ? "auto" : `${height * scale[1]}px`;
    // Pixels are put there one by one: memory that the processor writes is the right place.
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(width, height);
    const shades = Array.from({ length: 256 }, (_, depth) => shade(depth / 255));
    for (let y = 0; y < height; y += 1) {
      for (let x = 0; x < width; x += 1) {
        const depth = Math.round(Math.max(0, Math.min(1, value(x, y))) * 255);
        image.data.set([...shades[depth], 255], (y * width + x) * 4);
      }
    }
    context.putImageData(image, 0, 0);
  }

  function drawPictures() {
    const shown = columns();
    const wide = Math.max(1, Math.min(24, Math.floor(560 / shown.length)));
    const tall = Math.max(2, Math.min(8, Math.floor(560 / count)));
    paint(bits, shown.length, count, (x, y) => shown[x][y], [wide, tall]);
    const masks = chosen();
    const table = Array.from({ length: COMPARED }, () => new Float32Array(COMPARED));
    for (let left = 0; left < COMPARED; left += 1) {
      for (let right = 0; right <= left; right += 1) {
        const known = masks.map((mask) => overlap(mask.rows[left], mask.rows[right]))
          .filter((value) => value !== null);
        table[left][right] = known.length ? mean(known) : 0;
        table[right][left] = table[left][right];
      }
    }
    const size = Math.max(2, Math.min(24, Math.floor(560 / COMPARED)));
    paint(overlaps, COMPARED, COMPARED, (x, y) => table[y][x], [size, size]);
  }

  const share = (token) => mean(chosen().map((mask) => mask.shares[token]));
  const visible = (token) => token.replaceAll("\n", "⏎\n") || "·";

  function drawText() {
    const shares = data.tokens.map((_, token) => share(token));
    const [low, high] = [Math.min(...shares), Math.max(...shares)];
    text.replaceChildren(...data.tokens.map((token, index) => {
      const span = document.createElement("span");
      const depth = ((shares[index] - low) / (high - low || 1)) * 70;
      span.textContent = visible(token);
      span.title = percent(shares[index]);
      span.dataset.token = index;
      span.style.background = `color-mix(in srgb, var(--accent) ${depth.toFixed(0)}%, transparent)`;
      return span;
    }));
  }

  function point(token) {
    if (token === null || token < 0 || token >= count) return;
    if (pointed !== null) text.children[pointed]?.classList.remove("pointed");
    pointed = token;
    text.children[token].classList.add("pointed");
    const name = JSON.stringify(data.tokens[token]);
    told.textContent = `Token ${token}, ${name}: keeps ${percent(share(token))}`;
  }

  const tokenAt = (canvas, event, rows) => Math.floor(
    ((event.clientY - canvas.getBoundingClientRect().top) / canvas.clientHeight) * rows,
  );
  text.addEventListener("pointerover", (event) => {
    const { token } = event.target.dataset;
    if (token !== undefined) point(Number(token));
  });
  text.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    point(pointed === null ? 0 : pointed + by);
  });
  bits.addEventListener("pointermove", (event) => point(tokenAt(bits, event, count)));
  overlaps.addEventListener("pointermove", (event) => {
    const [row, box] = [tokenAt(overlaps, event, COMPARED), overlaps.getBoundingClientRect()];
    const column = Math.floor(((event.clientX - box.left) / box.width) * COMPARED);
    if (row < 0 || row >= COMPARED || column < 0 || column >= COMPARED) return;
    point(row);
    const known = chosen().map((mask) => overlap(mask.rows[row], mask.rows[column]))
      .filter((value) => value !== null);
    const common = known.length ? percent(mean(known)) : "nothing";
    told.textContent += `; has ${common} in common with token ${column}, `
      + JSON.stringify(data.tokens[column]);
  });
  function draw() {
    sorted.disabled = choice.value === "all";
    drawText();
    drawPictures();
    if (pointed !== null) point(pointed);
  }
  choice.addEventListener("change", draw);
  sorted.addEventListener("change", drawPictures);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawPictures);
  draw();
})();
