// The first page of a reduction's detections: a table of its shots, each of which has a page.
"use strict";

(() => {
  const get = (id) => document.getElementById(id);
  const { plain } = skyharvest;
  const page = skyharvest.read();
  const { table } = page;
  const number = (key, label, title) => ({ key, label, title, show: plain, number: true });
  const pageOf = (i) => `${encodeURIComponent(table.shot[i])}.html`;
  const described = {
    id: "shot",
    columns: [
      { key: "shot", label: "Shot", show: plain, link: pageOf },
      number("lines", "Lines", "emission lines"),
      number("continuum", "Continuum", "continuum sources"),
      number("expected", "Expected", "reports that there should be"),
      { ...number("found", "Found", "reports that are there"), warns: (_, i) => table.found[i] < table.expected[i] },
      number("left_out", "Left out", "detections without a report, by the settings"),
      { key: "reason", label: "What is missing", show: plain },
    ],
    texts: ["shot", "reason"],
    names: {},
  };

  const count = () => {
    const n = shots.shown.length;
    get("count").textContent = n === shots.n ? `${n} ${n === 1 ? "shot" : "shots"}` : `${n} of ${shots.n} shots`;
  };
  const shots = new skyharvest.Table(get("list"), table, described, (i) => { location.href = pageOf(i); }, count);
  skyharvest.shots = shots;
  get("about").textContent = page.about;
  get("filter").addEventListener("input", () => shots.setFilter(get("filter").value));
  count();
})();
