// Maps of the focal plane: a figure[data-map] shows a value of all amplifiers, of the set that its section's form chooses.
// A script of data calls maps.of. IFUSLOT 093 is in column 09 and row 3, rows counted from above; of an IFU, the fibers of
// LU are below, of RU above.
"use strict";
const maps = (() => {
  const COLUMNS = 10, ROWS = 8, STRIPS = ["RU", "RL", "LL", "LU"], TOP = 16, LEFT = 16, BAR = 30, GAP = 2;
  const RAMP = [[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]]; // dark to light, even to the eye
  let data = null;

  const colour = (share) => {
    const at = Math.min(Math.max(share, 0), 1) * (RAMP.length - 1), k = Math.min(Math.floor(at), RAMP.length - 2);
    return `rgb(${RAMP[k].map((from, i) => Math.round(from + (RAMP[k + 1][i] - from) * (at - k))).join(",")})`;
  };

  const stateOf = (value, limits) => {
    for (const level of ["bad", "warn"]) {
      const [low, high] = limits[level] ?? [null, null];
      if ((low !== null && value < low) || (high !== null && value > high)) return level.toUpperCase();
    }
    return "";
  };

  // From where to where colours go: outliers have the last one.
  const range = (values) => {
    const sorted = Float64Array.from(values).sort();
    if (!sorted.length) return [0, 1];
    const at = (share) => sorted[Math.round(share * (sorted.length - 1))];
    const [low, high] = [at(0.02), at(0.98)];
    return high > low ? [low, high] : sorted[sorted.length - 1] > sorted[0] ? [sorted[0], sorted[sorted.length - 1]] : [low - 0.5, low + 0.5];
  };

  const places = () => {
    const shared = new Map();
    const all = data.amps.map((name) => {
      const [specid, slot, ifuid, contid, amp] = name.split("_");
      const pairing = [specid, slot, ifuid, contid].join("_");
      if (!shared.has(slot)) shared.set(slot, []);
      if (!shared.get(slot).includes(pairing)) shared.get(slot).push(pairing);
      return { name, slot, pairing, strip: amp ? STRIPS.indexOf(amp) : 0, strips: amp ? STRIPS.length : 1, column: Number(slot.slice(0, 2)), row: Number(slot[2]) };
    });
    for (const one of all) {
      const some = shared.get(one.slot);
      Object.assign(one, { share: 1 / some.length, of: some.indexOf(one.pairing) });
    }
    return all;
  };

  const draw = (name, set) => (plot, width) => {
    const { make } = charts, about = data.about[name];
    const values = data.sets[set]?.[name] ?? [], failed = data.failed[set] ?? {};
    const known = values.filter((value) => value !== null);
    const [low, high] = range(known);
    const size = (width - LEFT) / COLUMNS, height = TOP + size * ROWS + BAR + 20;
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${name} of each amplifier on the focal plane` });
    for (let k = 1; k <= COLUMNS; k++) svg.append(make("text", { class: "tick", x: LEFT + (k - 0.5) * size, y: 11, "text-anchor": "middle" }, String(k).padStart(2, "0")));
    for (let k = 1; k <= ROWS; k++) svg.append(make("text", { class: "tick", x: 0, y: TOP + (k - 0.5) * size + 4 }, String(k)));
    const found = [], edges = [];
    data.placed.forEach((one, k) => {
      const value = values[k] ?? null;
      const [w, h] = [((size - GAP) * one.share), (size - GAP) / one.strips];
      const [x, y] = [LEFT + (one.column - 1) * size + GAP / 2 + one.of * w, TOP + (one.row - 1) * size + GAP / 2 + one.strip * h];
      const box = { x: x.toFixed(1), y: y.toFixed(1), width: w.toFixed(1), height: h.toFixed(1) };
      if (value !== null) svg.append(make("rect", { ...box, fill: colour((value - low) / (high - low)) }));
      else if (k in failed) svg.append(make("rect", { ...box, fill: "url(#failed)" }), make("rect", { ...box, class: "slot" }));
      else svg.append(make("rect", { ...box, class: "slot" }));
      const state = value === null ? "" : stateOf(value, about.limits);
      if (state) edges.push(make("rect", { ...box, class: `edge ${state}` }));
      found.push([x + w / 2, y + h / 2, null, k]);
    });
    svg.append(...edges);
    const pattern = make("pattern", { id: "failed", width: 4, height: 4, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" });
    pattern.append(make("rect", { width: 1, height: 4, fill: "var(--muted)" }));
    const defs = make("defs"), bar = make("linearGradient", { id: "ramp" });
    RAMP.forEach((_, k) => bar.append(make("stop", { offset: k / (RAMP.length - 1), "stop-color": colour(k / (RAMP.length - 1)) })));
    defs.append(pattern, bar);
    svg.append(defs);
    const y = TOP + size * ROWS + 12;
    svg.append(make("rect", { x: LEFT, y, width: width - LEFT, height: 8, fill: "url(#ramp)" }));
    svg.append(make("text", { class: "tick", x: LEFT, y: y + 22 }, charts.number(low)));
    svg.append(make("text", { class: "tick", x: width, y: y + 22, "text-anchor": "end" }, charts.number(high)));
    svg.append(make("text", { class: "tick", x: (LEFT + width) / 2, y: y + 22, "text-anchor": "middle" }, about.unit));
    plot.replaceChildren(svg);
    charts.listen(plot, svg, found, (_, k) => {
      const [specid, slot, ifuid, contid, amp] = data.amps[k].split("_"), value = values[k] ?? null;
      return {
        text: [
          `${specid}_${slot}_${ifuid}${amp ? ` ${amp}` : ""}, controller ${contid}`,
          value === null ? failed[k] ?? "no value" : `${charts.number(value)} ${about.unit} ${stateOf(value, about.limits)}`,
        ],
      };
    });
  };

  const show = (figure) => {
    const name = figure.dataset.map, sets = Object.keys(data.sets);
    const set = figure.closest("section").querySelector(".choose [name=set]")?.value ?? sets[0];
    figure.querySelector(".says").textContent = data.about[name].says;
    charts.show(figure, { draw: draw(name, set) });
  };

  const showAll = () => document.querySelectorAll("figure[data-map]").forEach(show);
  document.querySelector(".choose [name=set]")?.addEventListener("change", showAll);
  return {
    of: (given) => {
      data = given;
      data.placed = places();
      showAll();
    },
  };
})();
