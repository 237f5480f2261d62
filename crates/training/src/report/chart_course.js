// The horizontal axis of charts that tell how a training went: steps, tokens or time.
"use strict";
const ChartCourse = (() => {
  const NAMES = { steps: "Steps", tokens: "Tokens", seconds: "Time" };
  // Each with its seconds; the largest of which the whole is three or more is the unit.
  const UNITS = [["hours", 3600], ["minutes", 60], ["seconds", 1]];
  let chosen = "steps";
  const charts = [];
  const groups = [];

  const has = (plot, name) => plot.series.some((series) => series[name]);

  // The axis and the points of a plot as they are to be drawn now.
  function view(plot) {
    if (chosen === "steps" || !has(plot, chosen)) return { x: plot.x, points: (series) => series.points };
    if (chosen === "tokens") {
      return { x: { ...plot.x, label: "tokens" }, points: (series) => moved(series, "tokens", 1) };
    }
    const longest = Math.max(...plot.series.flatMap((series) => series.seconds ?? []), 0);
    const [unit, size] = UNITS.find(([, seconds]) => longest >= 3 * seconds) ?? UNITS[2];
    return {
      x: { label: `${unit} of training`, share: false, whole: false, digits: 1 },
      points: (series) => moved(series, "seconds", size),
    };
  }

  // The points with other places; none where these are not known.
  function moved(series, name, size) {
    const places = series[name];
    return places ? series.points.map((point, index) => [places[index] / size, ...point.slice(1)]) : [];
  }

  function choose(name) {
    chosen = name;
    for (const group of groups) {
      for (const button of group.querySelectorAll("button")) {
        button.setAttribute("aria-pressed", String(button.dataset.axis === name));
      }
    }
    for (const chart of charts) chart.changeAxis();
  }

  // Puts a switch above the charts of a group, if one of them can change its axis.
  function addSwitch(group, plots) {
    const names = Object.keys(NAMES).filter((name) => (
      name === "steps" ? plots.some((plot) => has(plot, "tokens") || has(plot, "seconds"))
        : plots.some((plot) => has(plot, name))));
    if (names.length < 2) return;
    const bar = document.createElement("div");
    bar.className = "switch";
    bar.setAttribute("role", "group");
    bar.setAttribute("aria-label", "Horizontal axis");
    bar.append("Against");
    for (const name of names) {
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.axis = name;
      button.textContent = NAMES[name];
      button.setAttribute("aria-pressed", String(name === chosen));
      button.addEventListener("click", () => choose(name));
      bar.append(button);
    }
    group.before(bar);
    groups.push(bar);
  }

  return { view, addSwitch, charts };
})();
