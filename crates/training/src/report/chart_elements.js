// Elements of charts, and their looks.
"use strict";
const ChartElements = (() => {
  const NAMESPACE = "http://www.w3.org/2000/svg";
  const COLOURS = 8;
  const DASHES = ["", "7 4", "2 3", "10 3 2 3", "14 5", "5 3 1 3 1 3"];
  const MARGIN = { top: 12, right: 14, bottom: 44, left: 62 };

  function svg(tag, attributes = {}, text = "") {
    const element = document.createElementNS(NAMESPACE, tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  }

  function html(tag, attributes = {}, text = "") {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text) element.textContent = text;
    return element;
  }

  const colour = (series) => `var(--series-${series.style % COLOURS})`;
  const dash = (series) => DASHES[series.style % DASHES.length];

  return { NAMESPACE, COLOURS, MARGIN, svg, html, colour, dash };
})();
