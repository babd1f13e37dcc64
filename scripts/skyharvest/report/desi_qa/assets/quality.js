// Metrics of frames, drawn by exposure: those of a night, or one of a whole production that a reader chooses.
// series.js of a night, and series/*.js of a production, call quality.exposures and quality.series with their data: a
// page that is opened from disk may load scripts, and nothing else.
"use strict";
const quality = (() => {
  const ARMS = ["b", "r", "z"];
  const AXES = { mjd: "MJD", exptime: "exposure time (s)", expid: "exposure (EXPID)" };
  let of = null; // columns: night, expid, mjd, exptime, obstype, program; and cameras
  const series = new Map();
  const waiting = new Set();
  let begun = false;

  const shown = (name, { axis, program, camera }, heading) => {
    const metric = series.get(name);
    const lines = Object.fromEntries(ARMS.map((arm) => [arm, { name: arm, kind: "points", colour: arm, x: [], y: [], at: [] }]));
    const bad = { name: "BAD", kind: "points", colour: "bad", x: [], y: [], at: [] };
    const isBad = new Set(metric.bad);
    let without = 0;
    metric.values.forEach((row, k) => {
      if (!row || (program && of.program[k] !== program)) return;
      row.forEach((value, c) => {
        const name = of.cameras[c], id = k * of.cameras.length + c;
        if (camera && camera !== name && camera !== name[0]) return;
        if (value === null) { without += isBad.has(id); return; }
        for (const line of isBad.has(id) ? [lines[name[0]], bad] : [lines[name[0]]]) {
          line.x.push(of[axis][k]);
          line.y.push(value);
          line.at.push([k, c]);
        }
      });
    });
    const arms = ARMS.filter((arm) => lines[arm].x.length);
    const limits = metric.limits.filter(([who]) => !who || arms.some((arm) => who.includes(arm)));
    return {
      without,
      n: arms.reduce((sum, arm) => sum + lines[arm].x.length, 0),
      spec: {
        x: AXES[axis],
        y: heading ? metric.unit : metric.unit ? `${name} (${metric.unit})` : name,
        alt: `${name} of each camera against ${AXES[axis]}`,
        series: [...arms.map((arm) => lines[arm]), bad],
        limits: limits.length > 8 ? [] : limits.map(([, state, value]) => ({ state, value })),
        say: (line, i) => {
          const [k, c] = line.at[i];
          const expid = String(of.expid[k]).padStart(8, "0");
          return {
            text: [`${of.cameras[c]} ${expid}, ${of.program[k] || of.obstype[k]}`, `${charts.number(line.y[i])} ${metric.unit}`],
            link: `${of.root}${of.night[k]}/${expid}/${of.cameras[c]}.html`,
          };
        },
      },
    };
  };

  const chosen = () => Object.fromEntries(
    [...document.querySelectorAll("#choose select")].map((select) => [select.name, select.value]),
  );

  const drawAll = () => {
    begun = true;
    const choice = { axis: "expid", program: "", camera: "", ...chosen() };
    for (const figure of document.querySelectorAll("figure[data-metric]")) {
      const name = figure.dataset.metric || choice.metric;
      if (!series.has(name)) { load(name); continue; }
      const { spec, without, n } = shown(name, choice, Boolean(figure.dataset.metric));
      figure.hidden = Boolean(figure.dataset.metric) && !n && !without;
      charts.show(figure, { ...spec, height: figure.dataset.metric ? 210 : 340 });
      const note = figure.querySelector(".says");
      if (note) {
        const said = [series.get(name).says, n ? "" : "No such frame has it."];
        if (without) said.push(`${without} frames have no value, and are BAD.`);
        note.textContent = said.filter(Boolean).join(" ");
      }
    }
  };

  const load = (name) => {
    if (waiting.has(name)) return;
    const script = document.createElement("script");
    script.src = `series/${name}.js`;
    script.addEventListener("error", () => {
      waiting.delete(name);
      document.querySelector("#series .says").textContent = `series/${name}.js is not beside this page.`;
    });
    waiting.add(name);
    document.head.append(script);
  };

  document.querySelector("#choose")?.addEventListener("change", drawAll);
  return {
    exposures: (columns) => { of = columns; },
    series: (name, metric) => { series.set(name, metric); waiting.delete(name); if (begun) drawAll(); },
    drawAll,
  };
})();
