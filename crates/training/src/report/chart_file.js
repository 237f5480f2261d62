// Saves a chart as an SVG file.
"use strict";
const ChartFile = (() => {
  const { NAMESPACE, COLOURS, MARGIN, svg, html, dash } = ChartElements;
  // Styles that a saved file has to carry itself.
  const SAVED_STYLES = [
    "fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-linecap",
    "font-family", "font-size", "text-anchor", "opacity", "visibility",
  ];

  function save(chart) {
    const copy = chart.svg.cloneNode(true);
    const originals = [chart.svg, ...chart.svg.querySelectorAll("*")];
    [copy, ...copy.querySelectorAll("*")].forEach((element, index) => {
      const style = getComputedStyle(originals[index]);
      element.removeAttribute("class");
      element.setAttribute("style", SAVED_STYLES
        .map((name) => `${name}:${style.getPropertyValue(name)}`).join(";"));
    });
    const background = getComputedStyle(document.body).backgroundColor;
    copy.prepend(svg("title", {}, chart.plot.title),
      svg("rect", { width: chart.width, height: chart.height, style: `fill:${background}` }));
    addNames(chart, copy);
    copy.setAttribute("xmlns", NAMESPACE);
    const text = new XMLSerializer().serializeToString(copy);
    const link = html("a", {
      href: URL.createObjectURL(new Blob([text], { type: "image/svg+xml" })),
      download: `${chart.plot.title.toLowerCase().replace(/[^a-z0-9]+/g, "-")}.svg`,
    });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // A saved file has no page around it: the names of the series go below the chart.
  function addNames(chart, copy) {
    const ink = getComputedStyle(document.body).color;
    const line = 20;
    const series = chart.visible().filter((of) => !of.thin);
    series.forEach((of, index) => {
      const y = chart.height + line * index + 8;
      const stroke = getComputedStyle(document.documentElement)
        .getPropertyValue(`--series-${of.style % COLOURS}`).trim();
      copy.append(
        svg("line", {
          x1: MARGIN.left, x2: MARGIN.left + 30, y1: y, y2: y,
          style: `stroke:${stroke};stroke-width:2;stroke-dasharray:${dash(of) || "none"}`,
        }),
        svg("text", {
          x: MARGIN.left + 38, y: y + 4, style: `fill:${ink};font:12px sans-serif`,
        }, of.name),
      );
    });
    const height = chart.height + line * series.length + 6;
    copy.setAttribute("viewBox", `0 0 ${chart.width} ${height}`);
    copy.setAttribute("width", chart.width);
    copy.setAttribute("height", height);
    copy.querySelector("rect[width]").setAttribute("height", height);
  }

  return { save };
})();
