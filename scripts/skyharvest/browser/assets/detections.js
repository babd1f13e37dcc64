// What a page of a shot says of its detections: emission lines and continuum sources.
"use strict";

skyharvest.describe = (page) => {
  const { fixed, plain, known } = skyharvest;
  const { table } = page;
  const places = new Map(table.detectid.map((detectid, i) => [detectid, i]));
  const guessesOf = (i) => {
    if (!known(table.wave_vacuum[i])) return [];
    return page.guesses.map(([label, rest]) => ({ label, z: table.wave_vacuum[i] / rest - 1 })).filter(({ z }) => z > -0.001);
  };
  const withError = (i, name, digits) => {
    const error = table[`${name}_err`][i];
    return `${table[name][i].toFixed(digits)}${known(error) ? ` ± ${error.toFixed(digits)}` : ""}`;
  };

  return {
    id: "detectid",
    columns: [
      { key: "detectid", label: "detectid", show: plain, number: true, compare: skyharvest.compareIds },
      { key: "kind", label: "Kind", show: plain },
      { key: "wave", label: "λ", title: "Å, in air", show: fixed(1), number: true },
      { key: "flux", label: "Flux", title: "10⁻¹⁷ erg s⁻¹ cm⁻²", show: fixed(1), number: true },
      { key: "sn", label: "S/N", show: fixed(1), number: true },
      { key: "chi2", label: "χ²", title: "of the line's fit, by degrees of freedom", show: fixed(2), number: true },
      { key: "linewidth", label: "σ", title: "of the line, Å", show: fixed(2), number: true },
      { key: "ifuslot", label: "IFU", title: "IFU slot", show: plain },
      { key: "report", label: "Report", title: "whether there is a report", show: (there) => (there ? "✓" : "–") },
      { key: "ra", label: "RA", title: "degrees", show: fixed(5), number: true },
      { key: "dec", label: "Dec", title: "degrees", show: fixed(5), number: true },
    ],
    texts: ["detectid", "kind", "ifuslot"],
    names: { id: "detectid", sigma: "linewidth", ifu: "ifuslot", lambda: "wave" },
    counted: ["detection", "detections"],
    about: page.about,
    command: "snakemake reduce_hetdex_reports",
    none: page.failed ? `This shot has no detections: ${page.failed}.` : "This shot has no detections.",
    lost: "No detection here is what the link asks for; this is the first one.",
    unknown: (text) => `No detection of this shot has the detectid “${text}”.`,
    redshiftOf: "the first guess's redshift",
    title: page.main.title,
    tabs: [{ id: "detection", title: "Columns", columns: page.main.columns, values: (record) => record.columns }],

    find: (name) => places.get(name) ?? -1,
    permalink: (i) => table.detectid[i],
    name: (i) => table.detectid[i],
    redshift: (i) => guessesOf(i)[0]?.z ?? 0,
    guesses: guessesOf,
    wave: (i) => (known(table.wave_vacuum[i]) ? table.wave_vacuum[i] : null),

    facts(i) {
      const facts = [[table.kind[i] === "line" ? "emission line" : "continuum source", ""]];
      if (known(table.wave[i])) facts.push(["λ", `${withError(i, "wave", 2)} Å in air`]);
      if (known(table.flux[i])) facts.push(["flux", `${withError(i, "flux", 1)} 10⁻¹⁷ erg s⁻¹ cm⁻²`]);
      if (known(table.sn[i])) facts.push(["S/N", table.sn[i].toFixed(1)]);
      if (known(table.chi2[i])) facts.push(["χ²", table.chi2[i].toFixed(2)]);
      if (known(table.linewidth[i])) facts.push(["σ", `${withError(i, "linewidth", 2)} Å`]);
      if (known(table.continuum[i])) facts.push(["continuum", `${withError(i, "continuum", 2)} 10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹`]);
      facts.push(["RA, Dec", `${table.ra[i].toFixed(5)}, ${table.dec[i].toFixed(5)}`]);
      return facts;
    },

    without: () => "Nothing is known of this detection's spectrum.",
    noReport: (i) => (table.reason[i] ? `There is no report: ${table.reason[i]}` : "There is no report of this detection."),
  };
};
