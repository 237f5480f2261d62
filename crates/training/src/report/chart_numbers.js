// Numbers of charts: round values for axes, and texts.
"use strict";
const ChartNumbers = (() => {
  // The smallest of 1, 2 and 5 times a power of ten that gives at most `count` steps.
  function niceStep(span, count) {
    const rough = span / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    return power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  }

  function ticks(low, high, count, whole) {
    let step = niceStep(high - low || 1, count);
    if (whole) step = Math.max(1, Math.round(step));
    const values = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + step * 1e-9; n += 1) {
      values.push(n * step);
    }
    return { step, values };
  }

  function short(value) {
    for (const [size, unit] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
      if (Math.abs(value) >= size) {
        const scale = unit === "k" ? 1e3 : size;
        return `${Number((value / scale).toPrecision(4))}${unit}`;
      }
    }
    return String(Number(value.toPrecision(6)));
  }

  // A number for an axis with ticks `step` apart.
  function tickText(axis, value, step) {
    if (axis.whole) return short(value);
    const shown = axis.share ? value * 100 : value;
    const digits = Math.max(0, -Math.floor(Math.log10((axis.share ? step * 100 : step) + 1e-12)));
    return shown.toFixed(Math.min(digits, 6)) + (axis.share ? "%" : "");
  }

  // A number with all digits that matter; `digits` are decimals.
  function fullText(axis, value, digits = 4) {
    if (axis.share) return `${(value * 100).toFixed(1)}%`;
    if (axis.whole) return Math.round(value).toLocaleString("en");
    return value.toFixed(axis.digits ?? digits);
  }

  // Decimals that show four digits of the largest number, and at least four.
  function digitsOf(values) {
    const largest = Math.max(...values.map(Math.abs).filter(Number.isFinite), 0);
    return largest > 0 ? Math.min(12, Math.max(4, 3 - Math.floor(Math.log10(largest)))) : 4;
  }

  return { ticks, tickText, fullText, digitsOf };
})();
