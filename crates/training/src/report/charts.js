// Draws the charts of a report: hover for values, drag to zoom, toggle series, save as SVG.
"use strict";
(() => {
  // A drag that is shorter than this, in pixels, is a click.
  const SHORTEST_DRAG = 6;
  const { COLOURS, MARGIN, svg, html, colour, dash } = ChartElements;
  const { ticks, tickText, fullText, digitsOf } = ChartNumbers;

  class Chart {
    constructor(figure, plot) {
      this.figure = figure;
      this.told = plot;
      this.digits = digitsOf(plot.series.flatMap((series) => series.points.map((point) => point[1])));
      this.hidden = new Set();
      this.look();
      this.zoom = null;
      this.cursor = null;
      this.build();
      new ResizeObserver(() => this.draw()).observe(this.frame);
      this.draw();
    }

    // Takes the points as they are to be drawn against the chosen axis.
    look() {
      const { x, points } = ChartCourse.view(this.told);
      const series = this.told.series.map((of) => ({ ...of, points: points(of) }));
      this.plot = { ...this.told, x, series };
    }

    changeAxis() {
      this.look();
      this.describe();
      this.setZoom(null);
    }

    // Says what is drawn to those who do not see it.
    describe() {
      const { title, x, y } = this.plot;
      this.svg.setAttribute("aria-label", `${title}: ${y.label} against ${x.label}. Arrow keys show `
        + "values, plus and minus zoom, zero shows everything.");
    }

    // Makes everything that stays when the chart is drawn anew.
    build() {
      const { figure, plot } = this;
      const tools = html("div", { class: "tools" });
      const tool = (name, label, action) => {
        const button = html("button", { type: "button", "data-tool": name, title: label }, {
          in: "+", out: "−", reset: "Reset zoom", save: "Save SVG",
        }[name]);
        button.setAttribute("aria-label", `${label}: ${plot.title}`);
        button.addEventListener("click", action);
        tools.append(button);
        return button;
      };
      tool("in", "Zoom in", () => this.zoomBy(0.5));
      tool("out", "Zoom out", () => this.zoomBy(2));
      this.reset = tool("reset", "Reset zoom", () => this.setZoom(null));
      tool("save", "Save as SVG", () => ChartFile.save(this));
      this.frame = html("div", { class: "frame" });
      this.svg = svg("svg", { tabindex: "0", role: "group" });
      this.describe();
      this.tooltip = html("div", { class: "tooltip", hidden: "" });
      this.live = html("p", { class: "unseen", "aria-live": "polite" });
      this.frame.append(this.svg, this.tooltip);
      this.legend = html("div", { class: "legend", role: "group", "aria-label": "Series" });
      const named = plot.series.filter((series) => !series.thin);
      this.legend.append(...named.map((series) => this.legendButton(series)));
      figure.append(tools, this.frame, this.legend, this.live);
      this.listen();
    }

    // Shows and hides all lines of an arm.
    legendButton(series) {
      const button = html("button", { type: "button", "aria-pressed": "true" });
      const sample = svg("svg", { viewBox: "0 0 28 10", class: "sample", "aria-hidden": "true" });
      if (this.plot.scattered) {
        sample.append(this.mark(series, 14, 5));
      } else {
        sample.append(svg("line", {
          x1: 1, x2: 27, y1: 5, y2: 5, class: "line",
          style: `stroke:${colour(series)};stroke-dasharray:${dash(series) || "none"}`,
        }));
      }
      button.append(sample, html("span", {}, series.name));
      button.addEventListener("click", () => {
        const hide = !this.hidden.has(series.style);
        if (hide) this.hidden.add(series.style);
        else this.hidden.delete(series.style);
        button.setAttribute("aria-pressed", String(!hide));
        this.hideCursor();
        this.draw();
      });
      return button;
    }

    listen() {
      const place = (event) => {
        const box = this.svg.getBoundingClientRect();
        const scale = this.width / box.width;
        return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
      };
      this.svg.addEventListener("pointerdown", (event) => {
        if (event.button !== 0) return;
        this.dragged = { from: place(event), to: place(event) };
        this.svg.setPointerCapture(event.pointerId);
      });
      this.svg.addEventListener("pointermove", (event) => {
        const at = place(event);
        if (this.dragged) {
          this.dragged.to = at;
          this.drawSelection();
        }
        this.showNearest(...at);
      });
      this.svg.addEventListener("pointerup", () => this.endDrag());
      this.svg.addEventListener("pointercancel", () => {
        this.dragged = null;
        this.drawSelection();
      });
      this.svg.addEventListener("pointerleave", () => this.hideCursor());
      this.svg.addEventListener("blur", () => this.hideCursor());
      this.svg.addEventListener("dblclick", () => this.setZoom(null));
      this.svg.addEventListener("keydown", (event) => this.key(event));
    }

    key(event) {
      const action = {
        ArrowLeft: () => this.moveCursor(-1),
        ArrowRight: () => this.moveCursor(1),
        Home: () => this.moveCursor(-Infinity),
        End: () => this.moveCursor(Infinity),
        Escape: () => this.hideCursor(),
        "+": () => this.zoomBy(0.5),
        "=": () => this.zoomBy(0.5),
        "-": () => this.zoomBy(2),
        0: () => this.setZoom(null),
      }[event.key];
      if (!action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    }

    visible() {
      return this.plot.series.filter((series) => (
        !this.hidden.has(series.style) && series.points.length > 0));
    }

    // The ends of both axes.
    domain() {
      const series = this.visible().length ? this.visible() : this.plot.series;
      const points = series.flatMap((of) => of.points);
      if (!points.length) return { x: [0, 1], y: [0, 1] };
      const xs = points.map((point) => point[0]);
      let [x0, x1] = this.zoom ? this.zoom.x : [Math.min(...xs), Math.max(...xs)];
      if (x0 === x1) [x0, x1] = [x0 - (Math.abs(x0) * 0.05 || 1), x1 + (Math.abs(x1) * 0.05 || 1)];
      else if (!this.zoom) {
        const room = (x1 - x0) * (this.plot.scattered ? 0.06 : 0.015);
        [x0, x1] = [x0 - room, x1 + room];
      }
      const seen = points.filter((point) => point[0] >= x0 && point[0] <= x1);
      const [y0, y1] = this.zoom?.y ?? this.heights(seen.length ? seen : points);
      return { x: [x0, x1], y: [y0, y1] };
    }

    // The range that shows what matters of the points: the steep beginning of a loss is cut off.
    heights(points) {
      const ys = points.flatMap((point) => point.slice(1));
      let [low, high] = [Math.min(...ys), Math.max(...ys)];
      if (!this.plot.scattered && !this.plot.y.share && points.length > 8) {
        const sorted = points.map((point) => point[1]).sort((a, b) => a - b);
        const middle = sorted[Math.floor(sorted.length / 2)];
        high = Math.min(high, Math.max(middle + 4 * (middle - low), low * 1.01));
      }
      // Shares that hardly differ must not look as if they did.
      if (this.plot.y.share) high = Math.max(high, low + 0.05);
      const room = (high - low) * 0.06 || Math.abs(high) * 0.05 || 1;
      [low, high] = [low - room, high + room];
      return this.plot.y.share ? [Math.max(low, 0), Math.min(high, 1.02)] : [low, high];
    }

    scale() {
      const { x, y } = this.domain();
      const right = this.width - MARGIN.right;
      const bottom = this.height - MARGIN.bottom;
      const sx = (right - MARGIN.left) / (x[1] - x[0]);
      const sy = (bottom - MARGIN.top) / (y[1] - y[0]);
      return {
        domain: { x, y },
        right,
        bottom,
        x: (value) => MARGIN.left + (value - x[0]) * sx,
        y: (value) => bottom - (value - y[0]) * sy,
        fromX: (place) => x[0] + (place - MARGIN.left) / sx,
        fromY: (place) => y[0] + (bottom - place) / sy,
      };
    }

    draw() {
      this.width = Math.max(260, this.frame.clientWidth);
      this.height = Math.round(Math.min(380, Math.max(230, this.width * 0.56)));
      const scale = this.scale();
      this.now = scale;
      this.svg.setAttribute("viewBox", `0 0 ${this.width} ${this.height}`);
      this.svg.replaceChildren();
      const clip = `clip-${this.figure.dataset.plot}`;
      const clipPath = svg("clipPath", { id: clip });
      clipPath.append(svg("rect", {
        x: MARGIN.left, y: MARGIN.top,
        width: scale.right - MARGIN.left, height: scale.bottom - MARGIN.top,
      }));
      this.svg.append(clipPath);
      this.drawAxes(scale);
      const inside = svg("g", { "clip-path": `url(#${clip})` });
      this.visible().forEach((series) => inside.append(this.drawSeries(series, scale)));
      this.overlay = svg("g", { class: "overlay" });
      this.selection = svg("rect", { class: "selection", visibility: "hidden" });
      this.svg.append(inside, this.overlay, this.selection);
      this.reset.hidden = !this.zoom;
    }

    drawAxes(scale) {
      const { plot, width, height } = this;
      const [xs, ys] = [scale.domain.x, scale.domain.y];
      const across = ticks(xs[0], xs[1], Math.max(3, Math.floor(width / 110)), plot.x.whole);
      const up = ticks(ys[0], ys[1], 5, plot.y.whole);
      for (const value of across.values) {
        const x = scale.x(value);
        this.svg.append(
          svg("line", { class: "grid", x1: x, x2: x, y1: MARGIN.top, y2: scale.bottom }),
          svg("text", { class: "tick", x, y: scale.bottom + 16, "text-anchor": "middle" },
            tickText(plot.x, value, across.step)),
        );
      }
      for (const value of up.values) {
        const y = scale.y(value);
        this.svg.append(
          svg("line", { class: "grid", x1: MARGIN.left, x2: scale.right, y1: y, y2: y }),
          svg("text", { class: "tick", x: MARGIN.left - 7, y: y + 4, "text-anchor": "end" },
            tickText(plot.y, value, up.step)),
        );
      }
      const middle = (MARGIN.top + scale.bottom) / 2;
      this.svg.append(
        svg("text", {
          class: "axis", x: (MARGIN.left + scale.right) / 2, y: height - 8, "text-anchor": "middle",
        }, plot.x.label),
        svg("text", {
          class: "axis", x: 14, y: middle, "text-anchor": "middle",
          transform: `rotate(-90 14 ${middle})`,
        }, plot.y.label),
      );
    }

    drawSeries(series, scale) {
      const thin = series.thin ? " thin" : "";
      const group = svg("g", { class: `series${thin}`, "data-series": series.name });
      const at = (x, y) => `${scale.x(x).toFixed(2)} ${scale.y(y).toFixed(2)}`;
      const spread = series.points.filter((point) => point.length > 3);
      if (this.plot.scattered) {
        for (const [x, , low, high] of spread) {
          group.append(svg("path", {
            d: `M${at(x, low)}L${at(x, high)}`, class: "whisker", style: `stroke:${colour(series)}`,
          }));
        }
        for (const [x, y] of series.points) group.append(this.mark(series, scale.x(x), scale.y(y)));
        return group;
      }
      if (spread.length > 1 && !series.thin) {
        const top = spread.map(([x, , , high]) => at(x, high));
        const back = spread.map(([x, , low]) => at(x, low)).reverse();
        group.append(svg("path", {
          d: `M${[...top, ...back].join("L")}Z`, class: "band", style: `fill:${colour(series)}`,
        }));
      }
      group.append(svg("path", {
        d: `M${series.points.map(([x, y]) => at(x, y)).join("L")}`,
        class: "line",
        style: `stroke:${colour(series)};stroke-dasharray:${dash(series) || "none"}`,
      }));
      if (series.points.length <= 16 && !series.thin) {
        for (const [x, y] of series.points) {
          group.append(this.mark(series, scale.x(x), scale.y(y), 3));
        }
      }
      return group;
    }

    // A mark whose shape tells series apart where their colours repeat.
    mark(series, x, y, size = 5) {
      const shape = (series.style + Math.floor(series.style / COLOURS)) % 4;
      const d = [
        `M${x - size} ${y}a${size} ${size} 0 1 0 ${2 * size} 0a${size} ${size} 0 1 0 ${-2 * size} 0`,
        `M${x - size} ${y - size}h${2 * size}v${2 * size}h${-2 * size}Z`,
        `M${x} ${y - size * 1.2}L${x + size * 1.1} ${y + size}H${x - size * 1.1}Z`,
        `M${x} ${y - size * 1.3}L${x + size * 1.3} ${y}L${x} ${y + size * 1.3}L${x - size * 1.3} ${y}Z`,
      ][shape];
      return svg("path", { d, class: "mark", style: `fill:${colour(series)}` });
    }

    // All horizontal places that have a visible point, in order.
    places() {
      const [x0, x1] = this.now.domain.x;
      const xs = this.visible().flatMap((series) => series.points.map((point) => point[0]));
      return [...new Set(xs)].filter((x) => x >= x0 && x <= x1).sort((a, b) => a - b);
    }

    showNearest(px, py) {
      const places = this.places();
      if (!places.length) return this.hideCursor();
      if (this.plot.scattered) {
        const far = ([x, y]) => Math.hypot(this.now.x(x) - px, this.now.y(y) - py);
        const points = this.visible().flatMap((series) => series.points);
        const nearest = points.reduce((best, point) => (far(point) < far(best) ? point : best));
        return this.showCursor(nearest[0], nearest[1]);
      }
      const x = this.now.fromX(px);
      const nearer = (best, place) => (Math.abs(place - x) < Math.abs(best - x) ? place : best);
      return this.showCursor(places.reduce(nearer));
    }

    moveCursor(by) {
      const places = this.places();
      if (!places.length) return;
      const here = this.cursor === null ? -1 : places.indexOf(this.cursor);
      const next = Math.min(places.length - 1, Math.max(0, here + by));
      this.showCursor(places[next]);
      this.live.textContent = this.tooltip.innerText.replace(/\n+/g, ", ");
    }

    // The points that a place shows: with `y` those that are there; else one of each series, which is not far.
    pointsAt(x, y) {
      const [x0, x1] = this.now.domain.x;
      const found = this.visible().map((series) => {
        if (y !== undefined) {
          return { series, point: series.points.find((of) => of[0] === x && of[1] === y) };
        }
        const nearer = (best, of) => (Math.abs(of[0] - x) < Math.abs(best[0] - x) ? of : best);
        const point = series.points.reduce(nearer);
        // Steps are the same for all arms; tokens and time need not be.
        const far = this.plot.x.label === this.told.x.label ? 0 : (x1 - x0) * 0.03;
        return { series, point: Math.abs(point[0] - x) <= far ? point : undefined };
      });
      return found.filter(({ point }) => point);
    }

    // Shows the values at a horizontal place; with `y`, only of points there.
    showCursor(x, y) {
      this.cursor = x;
      this.overlay.replaceChildren(svg("line", {
        class: "cursor", x1: this.now.x(x), x2: this.now.x(x),
        y1: MARGIN.top, y2: this.now.bottom,
      }));
      this.tooltip.replaceChildren(
        html("div", { class: "at" }, `${fullText(this.plot.x, x)} ${this.plot.x.label}`),
      );
      const rows = new Map();
      for (const { series, point } of this.pointsAt(x, y)) {
        const height = this.now.y(point[1]);
        if (height >= MARGIN.top - 1 && !series.thin) {
          this.overlay.append(this.mark(series, this.now.x(point[0]), height, 4));
        }
        const text = fullText(this.plot.y, point[1], this.digits);
        const row = rows.get(series.style);
        if (row) {
          row.append(html("span", { class: "part" }, `${series.part} ${text}`));
          continue;
        }
        const spread = point.length > 3
          ? ` ± ${fullText(this.plot.y, point[3] - point[1], this.digits)}` : "";
        rows.set(series.style, this.valueRow(series, text + spread));
      }
      this.tooltip.append(...rows.values());
      this.placeTooltip(x);
    }

    valueRow(series, text) {
      const row = html("div", { class: "value" });
      const swatch = html("i", { style: `background:${colour(series)}` });
      row.append(swatch, html("span", {}, series.name), html("b", {}, text));
      return row;
    }

    // Beside the cursor, on the side that has room.
    placeTooltip(x) {
      this.tooltip.hidden = false;
      const scale = this.frame.clientWidth / this.width;
      const at = this.now.x(x) * scale;
      const width = this.tooltip.offsetWidth;
      const right = at + 12 + width <= this.frame.clientWidth;
      const left = right ? at + 12 : Math.max(0, at - 12 - width);
      this.tooltip.style.left = `${Math.min(left, this.frame.clientWidth - width)}px`;
      this.tooltip.style.top = `${MARGIN.top}px`;
    }

    hideCursor() {
      this.cursor = null;
      this.tooltip.hidden = true;
      this.overlay.replaceChildren();
    }

    drawSelection() {
      if (!this.dragged) {
        this.selection.setAttribute("visibility", "hidden");
        return;
      }
      const { from, to } = this.dragged;
      const flat = Math.abs(to[1] - from[1]) < 3 * SHORTEST_DRAG;
      const top = flat ? MARGIN.top : Math.min(from[1], to[1]);
      const height = flat ? this.now.bottom - MARGIN.top : Math.abs(to[1] - from[1]);
      for (const [key, value] of Object.entries({
        x: Math.min(from[0], to[0]), width: Math.abs(to[0] - from[0]), y: top, height,
        visibility: "visible",
      })) this.selection.setAttribute(key, value);
    }

    // Zooms to what was dragged over; a flat drag leaves the heights to fit what is seen.
    endDrag() {
      const drag = this.dragged;
      this.dragged = null;
      this.drawSelection();
      if (!drag || Math.abs(drag.to[0] - drag.from[0]) < SHORTEST_DRAG) return;
      const order = (a, b) => (a < b ? [a, b] : [b, a]);
      const flat = Math.abs(drag.to[1] - drag.from[1]) < 3 * SHORTEST_DRAG;
      this.setZoom({
        x: order(this.now.fromX(drag.from[0]), this.now.fromX(drag.to[0])),
        y: flat ? null : order(this.now.fromY(drag.from[1]), this.now.fromY(drag.to[1])),
      });
    }

    zoomBy(factor) {
      const [x0, x1] = this.now.domain.x;
      const middle = this.cursor ?? (x0 + x1) / 2;
      const half = ((x1 - x0) / 2) * factor;
      const all = this.plot.series.flatMap((series) => series.points.map((point) => point[0]));
      if (!all.length) return;
      const wide = half * 2 >= Math.max(...all) - Math.min(...all);
      this.setZoom(wide ? null : { x: [middle - half, middle + half], y: null });
    }

    setZoom(zoom) {
      this.zoom = zoom;
      this.hideCursor();
      this.draw();
    }
  }

  const plots = JSON.parse(document.getElementById("plots").textContent);
  for (const figure of document.querySelectorAll("figure[data-plot]")) {
    ChartCourse.charts.push(new Chart(figure, plots[Number(figure.dataset.plot)]));
  }
  for (const group of document.querySelectorAll(".charts")) {
    const figures = [...group.querySelectorAll("figure[data-plot]")];
    ChartCourse.addSwitch(group, figures.map((figure) => plots[Number(figure.dataset.plot)]));
  }
})();
