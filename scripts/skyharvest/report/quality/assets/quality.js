// Series that a reader chooses: values against what they go over. A figure[data-series] shows the one that it names, or
// that its section's form chooses; the form (form.choose) says, too, against what, and which rows and columns of it.
// Scripts of data call quality.rows and quality.series: a page that is opened from disk may load scripts, and nothing else.
"use strict";
const quality = (() => {
  const MOST_LIMITS = 8;
  const rows = new Map(); // name → root, noun, columns, groups, axes, link; and of: name → a value for each row
  const series = new Map();
  const waiting = new Set();
  let begun = false;

  const linkOf = ({ root, link, columns, of }, k, c) =>
    link && root + link.replace(/\{(\w+)\}/g, (_, name) => (name === "column" ? columns[c] : of[name][k]));

  const shown = (name, { axis, filter, column }, heading) => {
    const one = series.get(name), over = rows.get(one.rows), { of, columns, groups, noun } = over;
    axis = axis in over.axes ? axis : Object.keys(over.axes)[0];
    const order = [...new Set(groups)];
    const lines = Object.fromEntries(order.map((group) => [group, { name: group, kind: "points", colour: group, x: [], y: [], at: [] }]));
    const bad = { name: "BAD", kind: "points", colour: "bad", x: [], y: [], at: [] };
    const isBad = new Set(one.bad);
    let without = 0;
    one.values.forEach((row, k) => {
      if (!row || (filter && of.filter[k] !== filter)) return;
      row.forEach((value, c) => {
        const id = k * columns.length + c;
        if (column && column !== columns[c] && column !== groups[c]) return;
        if (value === null) { without += isBad.has(id); return; }
        for (const line of isBad.has(id) ? [lines[groups[c]], bad] : [lines[groups[c]]]) {
          line.x.push(of[axis][k]);
          line.y.push(value);
          line.at.push([k, c]);
        }
      });
    });
    const some = order.filter((group) => lines[group].x.length);
    const limits = one.limits.filter(([who]) => !who || some.some((group) => who.includes(group)));
    return {
      without,
      noun,
      n: some.reduce((sum, group) => sum + lines[group].x.length, 0),
      spec: {
        x: over.axes[axis],
        y: heading ? one.unit : one.unit ? `${name} (${one.unit})` : name,
        alt: `${name} of each ${noun} against ${over.axes[axis]}`,
        series: [...some.map((group) => lines[group]), bad],
        limits: limits.length > MOST_LIMITS ? [] : limits.map(([, state, value]) => ({ state, value })),
        say: (line, i) => {
          const [k, c] = line.at[i];
          return {
            text: [[`${columns[c]} ${of.name[k]}`, of.about[k]].filter(Boolean).join(", "), `${charts.number(line.y[i])} ${one.unit}`],
            link: linkOf(over, k, c),
          };
        },
      },
    };
  };

  const chosen = (figure) => Object.fromEntries(
    [...(figure.closest("section")?.querySelectorAll(".choose select") ?? [])].map((select) => [select.name, select.value]),
  );

  const draw = (figure) => {
    const choice = chosen(figure), own = figure.dataset.series;
    const name = own || choice.series;
    if (!name) return;
    if (!series.has(name)) { load(name, figure); return; }
    const { spec, without, n, noun } = shown(name, choice, Boolean(own));
    figure.hidden = Boolean(own) && !n && !without;
    charts.show(figure, { ...spec, height: own ? 210 : 340 });
    const note = figure.querySelector(".says");
    if (note) {
      const said = [series.get(name).says, n ? "" : `No such ${noun} has it.`];
      if (without) said.push(`${without} ${noun}s have no value, and are BAD.`);
      note.textContent = said.filter(Boolean).join(" ");
    }
  };

  const drawAll = () => {
    begun = true;
    document.querySelectorAll("figure[data-series]").forEach(draw);
  };

  const load = (name, figure) => {
    if (waiting.has(name)) return;
    const script = document.createElement("script");
    script.src = `series/${name}.js`;
    script.addEventListener("error", () => {
      waiting.delete(name);
      figure.querySelector(".says").textContent = `series/${name}.js is not beside this page.`;
    });
    waiting.add(name);
    document.head.append(script);
  };

  for (const form of document.querySelectorAll("form.choose")) {
    form.addEventListener("change", () => form.closest("section").querySelectorAll("figure[data-series]").forEach(draw));
  }
  return {
    rows: (name, about) => { rows.set(name, about); },
    series: (name, one) => { series.set(name, one); waiting.delete(name); if (begun) drawAll(); },
    drawAll,
  };
})();
