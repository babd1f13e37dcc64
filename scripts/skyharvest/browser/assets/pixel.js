// What a page of a pixel says of its sources: rows of the main file, and those that only overlays have.
"use strict";

skyharvest.describe = (page) => {
  const { fixed, plain, known } = skyharvest;
  const { table } = page;
  const columns = [
    { key: "targetid", label: "TARGETID", show: plain, number: true, compare: skyharvest.compareIds },
    { key: "row", label: "CSV row", show: plain, number: true },
    { key: "z", label: "z", show: fixed(4), number: true },
    { key: "spectype", label: "Type", title: "SPECTYPE", show: plain },
    { key: "zwarn", label: "ZWARN", show: plain, number: true, warns: (value) => Boolean(value) },
    { key: "program", label: "Program", show: plain },
    { key: "separation_arcsec", label: "Sep. ″", title: "from the CSV's position, arcsec", show: fixed(2), number: true },
    { key: "ra", label: "RA", title: "degrees, of the fiber", show: fixed(5), number: true },
    { key: "dec", label: "Dec", title: "degrees, of the fiber", show: fixed(5), number: true },
    ...page.overlays.map(({ survey, title }) => ({
      key: `n_${survey}`, label: title, title: `number of ${title} spectra`, show: (n) => (n ? String(n) : ""), number: true,
    })),
  ];

  // The source that #TARGETID, or a CSV row, shows: the primary, else the first.
  const better = (i, known) => known === undefined || (table.primary && table.primary[i] && !table.primary[known]);
  const firstOf = new Map();
  const ofRow = new Map();
  for (let i = 0; i < table.targetid.length; i++) {
    // Of some only overlays have spectra.
    if (table.targetid[i] && better(i, firstOf.get(table.targetid[i]))) firstOf.set(table.targetid[i], i);
    if (better(i, ofRow.get(table.row[i]))) ofRow.set(table.row[i], i);
  }
  const longName = (i) =>
    [table.targetid[i], table.survey?.[i] ?? "", table.program?.[i] ?? "", table.row[i]].map(encodeURIComponent).join("/");

  const about = [`NSIDE ${page.attributes.nside ?? 16} ${page.attributes.ordering ?? ""}`.trim()];
  for (const [survey, release] of Object.entries(page.releases)) about.push(`${survey} ${release}`);
  if (page.attributes.created) about.push(`made ${String(page.attributes.created).slice(0, 10)}`);

  return {
    id: "targetid",
    columns,
    texts: ["targetid", "row", "spectype", "subtype", "survey", "program"],
    names: { type: "spectype", sep: "separation_arcsec", csv: "row" },
    counted: ["source", "sources"],
    about,
    command: "snakemake browse",
    none: "No source of this pixel has a spectrum.",
    lost: "No source here is what the link asks for; this is the first one.",
    unknown: (text) => `No source here has the TARGETID or CSV row “${text}”.`,
    redshiftOf: page.main ? `${page.main.title}'s redshift` : "",
    title: page.main?.title,
    tabs: [
      { id: "csv", title: `CSV (${page.name})`, columns: page.csv_columns, values: (record) => record.csv },
      {
        id: "survey", title: page.main?.title ?? "", hidden: !page.main, columns: page.main?.columns ?? [],
        values: (record) => record[page.main?.survey] ?? [],
      },
    ],

    find(name) {
      if (firstOf.has(name)) return firstOf.get(name);
      if (/^\d+$/.test(name) && ofRow.has(Number(name))) return ofRow.get(Number(name));
      return table.targetid.findIndex((_, i) => longName(i) === name);
    },

    permalink(i) {
      if (!table.targetid[i]) return String(table.row[i]);
      return firstOf.get(table.targetid[i]) === i ? table.targetid[i] : longName(i);
    },

    name: (i) => table.targetid[i] || `CSV row ${table.row[i]}`,
    redshift: (i) => (known(table.z?.[i]) ? table.z[i] : 0),

    facts(i) {
      const facts = [];
      if (known(table.z?.[i])) {
        const error = table.zerr?.[i];
        facts.push(["z", known(error) && error > 0 ? `${table.z[i].toFixed(5)} ± ${error.toPrecision(1)}` : table.z[i].toFixed(5)]);
      } else if (table.z && table.targetid[i]) facts.push(["z", "none"]);
      if (known(table.spectype?.[i])) facts.push(["type", [table.spectype[i], table.subtype?.[i]].filter(known).join(" ")]);
      if (known(table.zwarn?.[i])) facts.push(["ZWARN", String(table.zwarn[i]), table.zwarn[i] !== 0]);
      if (known(table.deltachi2?.[i])) facts.push(["Δχ²", table.deltachi2[i].toFixed(1)]);
      if (known(table.program?.[i])) facts.push(["coadd", `${table.survey?.[i] ?? ""} ${table.program[i]}`.trim()]);
      if (table.targetid[i]) facts.push(["CSV row", String(table.row[i])]);
      else if (page.main) facts.push([page.main.title, "no spectrum"]);
      if (known(table.separation_arcsec?.[i])) facts.push(["separation", `${table.separation_arcsec[i].toFixed(2)}″`]);
      if (known(table.ra[i])) facts.push(["RA, Dec", `${table.ra[i].toFixed(6)}, ${table.dec[i].toFixed(6)}`]);
      return facts;
    },

    without(i) {
      const there = page.overlays.filter(({ survey }) => table[`n_${survey}`][i]).map(({ title }) => title);
      return there.length ? `Of this source there are ${there.join(" and ")} spectra: tick the box.`
        : "The crossmatch file has no spectra, only the columns of its sources.";
    },
  };
};
