// Figures as SVG, drawn at the width that they have: lines, points and histograms, with limits and what a point says.
// A figure.chart holds in a script element, as JSON, what it shows; quality.js draws those that a reader chooses.
"use strict";
const charts = (() => {
  const RIGHT = 10, TOP = 24, BOTTOM = 40;
  const DIGIT = 7.2; // pixels
  const ROBUST = 12; // standard deviations from the median, as the median deviation tells them
  const FINEST = 2e-3; // of a value: what differs by less is drawn as equal
  const FEW = 400; // points are drawn large
  const NEAR = 18; // pixels from a point that a pointer means it

  const make = (name, attributes = {}, text = "") => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.textContent = text;
    return made;
  };

  const median = (sorted) => sorted[Math.floor(sorted.length / 2)];

  // From where to where an axis goes: far outliers stand at its edge; limits that are near, or are broken, are on it.
  const extent = (values, limits, robust = false, finest = 0) => {
    const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
    if (!sorted.length) return [0, 1];
    const [lowest, highest] = [sorted[0], sorted[sorted.length - 1]];
    let [low, high] = [lowest, highest];
    if (robust) {
      const middle = median(sorted);
      const spread = 1.4826 * median(sorted.map((value) => Math.abs(value - middle)).sort()) * ROBUST;
      const [least, most] = [Math.max(low, middle - spread), Math.min(high, middle + spread)];
      if (most > least && high - low > 6 * (most - least)) [low, high] = [least, most];
    }
    const room = high - low || Math.abs(high) || 1;
    for (const limit of limits) {
      if (limit < low && (limit > low - 1.1 * room || limit > lowest)) low = limit;
      if (limit > high && (limit < high + 1.1 * room || limit < highest)) high = limit;
    }
    const least = Math.max(Math.abs(low), Math.abs(high)) * finest;
    if (high - low < least) [low, high] = [(low + high - least) / 2, (low + high + least) / 2];
    const margin = (high - low || 1) * 0.06;
    return [low - margin, high + margin];
  };

  const ticks = (low, high, n) => {
    const rough = (high - low) / Math.max(n, 1);
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((k) => k * power).find((one) => one >= rough * 0.7);
    const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
    const made = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) made.push(k * step);
    const largest = Math.max(Math.abs(low), Math.abs(high));
    const small = largest < 1e-3 || largest >= 1e8;
    return made.map((value) => [value, small ? value.toExponential(1) : value.toFixed(digits).replace(/^-(0(\.0+)?)$/, "$1")]);
  };

  // An axis of logarithms has powers of ten.
  const powers = (low, high) =>
    Array.from({ length: Math.max(0, Math.floor(high) - Math.ceil(low) + 1) }, (_, k) => Math.ceil(low) + k)
      .map((power) => [power, `10${[...String(power)].map((digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]).join("")}`]);

  const number = (value) => {
    if (value === null || !Number.isFinite(value)) return "–";
    if (value !== 0 && (Math.abs(value) < 1e-3 || Math.abs(value) >= 1e7)) return value.toExponential(2);
    return String(Number(value.toPrecision(5)));
  };

  const outline = (series, px, py) => {
    const { x, y } = series;
    let path = "", pen = "M";
    if (series.kind === "steps") {
      const base = py(0);
      path = `M${px(x[0])} ${base}`;
      y.forEach((value, k) => { path += `V${py(value)}H${px(x[k + 1])}`; });
      return `${path}V${base}`;
    }
    x.forEach((value, k) => {
      if (!Number.isFinite(y[k]) || y[k] === null) { pen = "M"; return; }
      path += `${pen}${px(value)} ${py(y[k])}`;
      pen = "L";
    });
    return path;
  };

  // Points are one path: tens of thousands of elements would be slow.
  const dots = (series, px, py, low, high) => {
    let path = "", out = "";
    series.x.forEach((value, k) => {
      const y = series.y[k];
      if (y === null || !Number.isFinite(y) || value === null) return;
      if (y > high) out += `M${px(value)} ${py(high) + 7}l-4 7h8z`;
      else if (y < low) out += `M${px(value)} ${py(low) - 7}l-4 -7h8z`;
      else path += `M${px(value)} ${py(y)}h0`;
    });
    return [path, out];
  };

  const normal = (steps, px, py) => {
    const n = steps.y.reduce((sum, value) => sum + value, 0);
    const width = (steps.x[steps.x.length - 1] - steps.x[0]) / steps.y.length;
    const [first, last] = [steps.x[0], steps.x[steps.x.length - 1]];
    const x = Array.from({ length: 121 }, (_, k) => first + ((last - first) * k) / 120);
    const y = x.map((value) => (n * width * Math.exp(-value * value / 2)) / Math.sqrt(2 * Math.PI));
    return outline({ kind: "line", x, y }, px, py);
  };

  // A specification may draw itself: spec.draw(plot, width).
  const draw = (figure, spec) => {
    const plot = figure.querySelector(".plot");
    const width = plot.clientWidth, height = spec.height ?? 230;
    if (!width) return;
    if (spec.draw) { spec.draw(plot, width); return; }
    const round = (value) => Math.round(value * 10) / 10;
    const onX = (spec.limits ?? []).filter((limit) => limit.axis === "x");
    const onY = (spec.limits ?? []).filter((limit) => limit.axis !== "x");
    const isPoints = spec.series.some((one) => one.kind === "points");
    const isSteps = spec.series.some((one) => one.kind === "steps");
    const all = (key) => spec.series.flatMap((one) => one[key].filter((value) => value !== null));
    const [xLow, xHigh] = extent(all("x"), onX.map((one) => one.value));
    let [yLow, yHigh] = extent(all("y").concat(isSteps ? [0] : []), onY.map((one) => one.value), isPoints, FINEST);
    if (isSteps) yLow = 0;
    const yTicks = spec.powers ? powers(yLow, yHigh) : ticks(yLow, yHigh, (height - TOP - BOTTOM) / 38);
    const left = Math.max(36, 12 + DIGIT * Math.max(...yTicks.map(([, text]) => text.length)));
    const px = (value) => round(left + ((value - xLow) / (xHigh - xLow)) * (width - left - RIGHT));
    const py = (value) => round(height - BOTTOM - ((value - yLow) / (yHigh - yLow)) * (height - TOP - BOTTOM));
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": spec.alt ?? "" });
    for (const [value, text] of yTicks) {
      svg.append(make("line", { class: "grid", x1: left, x2: width - RIGHT, y1: py(value), y2: py(value) }));
      svg.append(make("text", { class: "tick", x: left - 6, y: py(value) + 4, "text-anchor": "end" }, text));
    }
    for (const [value, text] of ticks(xLow, xHigh, (width - left - RIGHT) / 84)) {
      svg.append(make("line", { class: "tickmark", x1: px(value), x2: px(value), y1: height - BOTTOM, y2: height - BOTTOM + 4 }));
      if (px(value) + (text.length * DIGIT) / 2 > width) continue; // it would be cut off
      svg.append(make("text", { class: "tick", x: px(value), y: height - BOTTOM + 17, "text-anchor": "middle" }, text));
    }
    svg.append(make("line", { class: "axis", x1: left, x2: width - RIGHT, y1: height - BOTTOM, y2: height - BOTTOM }));
    svg.append(make("text", { class: "label", x: 0, y: 12 }, spec.y));
    svg.append(make("text", { class: "label", x: (left + width - RIGHT) / 2, y: height - 6, "text-anchor": "middle" }, spec.x));
    for (const { value, state, axis } of spec.limits ?? []) {
      if (axis === "x" ? value <= xLow || value >= xHigh : value <= yLow || value >= yHigh) continue;
      const [x, y] = [px(value), py(value)];
      const ends = axis === "x" ? { x1: x, x2: x, y1: TOP, y2: height - BOTTOM } : { x1: left, x2: width - RIGHT, y1: y, y2: y };
      svg.append(make("line", { class: `limit ${state}`, ...ends }));
    }
    const found = [];
    for (const series of spec.series) {
      if (series.kind === "points") {
        const [path, out] = dots(series, px, py, yLow, yHigh);
        svg.append(make("path", { class: `points of-${series.colour}${series.x.length < FEW ? " few" : ""}`, d: path }));
        svg.append(make("path", { class: `beyond of-${series.colour}`, d: out }));
        if (spec.say) {
          series.x.forEach((value, k) => {
            const y = series.y[k];
            if (y !== null && value !== null) found.push([px(value), py(Math.min(Math.max(y, yLow), yHigh)), series, k]);
          });
        }
      } else {
        svg.append(make("path", { class: `${series.kind} of-${series.colour}`, d: outline(series, px, py) }));
        if (series.normal) svg.append(make("path", { class: "line normal", d: normal(series, px, py) }));
      }
    }
    plot.replaceChildren(svg);
    if (spec.say) listen(plot, svg, found, spec.say);
  };

  // What a point says stands beside it while the pointer is near; a press keeps it, so that its link can be followed.
  const listen = (plot, svg, found, say) => {
    const tip = document.createElement("div");
    tip.className = "tip";
    tip.hidden = true;
    plot.append(tip);
    let kept = false;
    const show = (event) => {
      const box = svg.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let best = null, least = NEAR * NEAR;
      for (const one of found) {
        const far = (one[0] - x) ** 2 + (one[1] - y) ** 2;
        if (far < least) [best, least] = [one, far];
      }
      tip.hidden = best === null;
      if (best === null) return false;
      const { text, link } = say(best[2], best[3]);
      tip.replaceChildren(...text.flatMap((line, k) => (k ? [document.createElement("br"), line] : [line])));
      if (link) {
        const leads = document.createElement("a");
        leads.href = link;
        leads.textContent = "its page";
        tip.append(document.createElement("br"), leads);
      }
      tip.style.left = `${Math.max(0, Math.min(best[0] + 8, plot.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${Math.max(0, best[1] - tip.offsetHeight - 8)}px`;
      return true;
    };
    svg.addEventListener("pointermove", (event) => { if (!kept) show(event); });
    svg.addEventListener("pointerleave", () => { if (!kept) tip.hidden = true; });
    svg.addEventListener("click", (event) => { kept = show(event); });
  };

  const specs = new WeakMap();
  const seen = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) { seen.unobserve(target); draw(target, specs.get(target)); sized.observe(target); }
    }
  }, { rootMargin: "400px" });
  const widths = new WeakMap();
  const sized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const width = target.querySelector(".plot").clientWidth;
      if (widths.has(target) && widths.get(target) !== width) draw(target, specs.get(target));
      widths.set(target, width);
    }
  });

  // Show a figure as soon as a reader comes near it; again if it has another width, or shows something else.
  const show = (figure, spec) => {
    specs.set(figure, spec);
    seen.unobserve(figure);
    const { top, bottom } = figure.getBoundingClientRect();
    if (figure.querySelector("svg") && bottom > 0 && top < innerHeight) draw(figure, spec);
    else seen.observe(figure);
  };

  for (const figure of document.querySelectorAll("figure.chart")) {
    const data = figure.querySelector("script");
    if (data) show(figure, JSON.parse(data.textContent));
  }
  return { show, number, make, extent, ticks, listen };
})();
