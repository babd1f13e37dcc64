// The page: picks a source, and shows what there is of it.
"use strict";

(() => {
  const get = (id) => document.getElementById(id);
  const page = skyharvest.read();
  const { table } = page;
  const grids = {};
  let shown = null; // what is on the plot: {source, series, overlaid}
  let wanted = -1; // the source that was picked last
  let sources;
  let plot;
  let tab = "csv";

  skyharvest.page = page;
  skyharvest.ready = false;

  // --- What a source is called -------------------------------------------------------------------------------------

  const firstOf = new Map(); // TARGETID → the source that #TARGETID shows: the primary, else the first
  for (let i = 0; i < table.targetid.length; i++) {
    if (!table.targetid[i]) continue; // only overlays have spectra of it
    const known = firstOf.get(table.targetid[i]);
    if (known === undefined || (table.primary && table.primary[i] && !table.primary[known])) firstOf.set(table.targetid[i], i);
  }
  const ofRow = new Map();
  for (let i = 0; i < table.row.length; i++) {
    const known = ofRow.get(table.row[i]);
    if (known === undefined || (table.primary && table.primary[i] && !table.primary[known])) ofRow.set(table.row[i], i);
  }

  const longName = (i) =>
    [table.targetid[i], table.survey?.[i] ?? "", table.program?.[i] ?? "", table.row[i]].map(encodeURIComponent).join("/");
  const permalink = (i) => {
    if (!table.targetid[i]) return String(table.row[i]);
    return firstOf.get(table.targetid[i]) === i ? table.targetid[i] : longName(i);
  };

  function find(text) {
    const name = text.trim().replace(/^#/, "");
    if (firstOf.has(name)) return firstOf.get(name);
    if (/^\d+$/.test(name) && ofRow.has(Number(name))) return ofRow.get(Number(name));
    return table.targetid.findIndex((_, i) => longName(i) === name);
  }

  // --- Picking -----------------------------------------------------------------------------------------------------

  const fileOf = (kind, i) => page.files[kind][Math.floor(i / page.rows_per_file)];
  const load = (kind, i) => skyharvest.load(page.directory, fileOf(kind, i));

  function say(text) {
    get("message").textContent = text;
    get("message").hidden = !text;
  }

  async function spectraOf(i, record) {
    const within = i % page.rows_per_file;
    if (mode() === "arms") {
      const arms = (await load("arms", i)).sources[within];
      return Promise.all(Object.entries(arms).map(([arm, spectrum]) => series(arm, spectrum)));
    }
    return record.data ? [await series("combined", record)] : [];
  }

  function without(i) {
    const there = page.overlays.filter(({ survey }) => table[`n_${survey}`][i]).map(({ title }) => title);
    return there.length ? `Of this source there are ${there.join(" and ")} spectra: tick the box.`
      : "The crossmatch file has no spectra, only the columns of its sources.";
  }

  async function series(kind, { data, mask }) {
    const [flux, ivar] = await skyharvest.decodeTogether(data, 2);
    return { kind, wave: grids[kind], flux, ivar, mask };
  }

  async function overlaysOf(i, file) {
    const ticked = page.overlays.filter(({ survey }) => get(survey).checked);
    return Promise.all(ticked.flatMap(({ survey, title, labels }) => {
      const spectra = file[survey][table.row[i]] ?? [];
      return spectra.map(async (spectrum) => {
        const [flux, error] = await skyharvest.decodeTogether(spectrum.data, 2);
        const name = `${title} ${labels.map((label) => spectrum[label]).join("/")}`.trim();
        return { survey, name, wave: grids[survey], flux, error };
      });
    }));
  }

  async function pick(i, { keepRedshift = false } = {}) {
    if (i < 0) return;
    wanted = i;
    sources.select(i);
    place();
    if (!keepRedshift) setRedshift(measured(i));
    try {
      const file = await load("spectra", i);
      const record = file.sources[i % page.rows_per_file];
      const [drawn, overlaid] = await Promise.all([spectraOf(i, record), overlaysOf(i, file)]);
      if (wanted !== i) return; // another one has been picked since
      say(drawn.length || overlaid.length ? "" : without(i));
      shown = { source: i, series: drawn, overlaid, record, file };
      heading(i);
      address(i);
      picture(file.images?.[table.row[i]]);
      details();
      plot.draw(drawn, overlaid, sigma());
      prefetch(i);
    } catch (error) {
      if (wanted === i) say(error.message);
    }
  }

  function address(i) {
    try {
      history.replaceState(null, "", `#${permalink(i)}`);
    } catch {
      // Browsers refuse when a key is held down: the next source has its address again.
    }
  }

  // What is next is there before it is asked for.
  function prefetch(i) {
    for (const by of [1, -1]) {
      const next = sources.step(by);
      if (next >= 0) for (const kind of mode() === "arms" ? ["spectra", "arms"] : ["spectra"]) load(kind, next).catch(() => {});
    }
  }

  function redraw() {
    if (wanted >= 0) pick(wanted, { keepRedshift: true });
  }

  function place() {
    const at = sources.shown.indexOf(sources.selected);
    get("place").textContent = sources.shown.length ? `${at < 0 ? "–" : at + 1} of ${sources.shown.length}` : "none";
    get("count").textContent = sources.shown.length === sources.n
      ? `${sources.n} ${sources.n === 1 ? "source" : "sources"}` : `${sources.shown.length} of ${sources.n} sources`;
    get("previous").disabled = sources.step(-1) < 0;
    get("next").disabled = sources.step(1) < 0;
  }

  // --- What is said of a source ------------------------------------------------------------------------------------

  const known = (value) => value !== null && value !== undefined && value !== "";
  const measured = (i) => (known(table.z?.[i]) ? table.z[i] : 0);

  function heading(i) {
    get("targetid").textContent = table.targetid[i] || `CSV row ${table.row[i]}`;
    get("permalink").href = `#${permalink(i)}`;
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
    get("facts").replaceChildren(...facts.map(([name, value, warning]) => {
      const fact = document.createElement("span");
      const key = document.createElement("b");
      key.textContent = name;
      fact.append(key, ` ${value}`);
      if (warning) fact.className = "warning";
      return fact;
    }));
  }

  function picture(image) {
    const panel = get("cutout");
    panel.hidden = !table.n_images;
    if (!table.n_images) return;
    get("picture").hidden = !image;
    get("cross").toggleAttribute("hidden", !image?.at);
    if (!image) {
      get("caption").textContent = "No image of this source.";
      return;
    }
    get("picture").src = `data:image/png;base64,${image.png}`;
    const side = image.pixscale ? ` · ${(image.size * image.pixscale).toFixed(0)}″` : "";
    get("caption").textContent = `${page.images.title} ${image.bands.join("")}${side} · N up, E left`;
    get("picture").alt = get("caption").textContent;
    if (image.at) {
      // Pixel centres are whole numbers, and the last row is on top.
      get("cross").style.left = `${(100 * (image.at[0] + 0.5)) / image.size}%`;
      get("cross").style.top = `${100 - (100 * (image.at[1] + 0.5)) / image.size}%`;
    }
  }

  function details() {
    if (!shown) return;
    const values = shown.record[tab === "csv" ? tab : page.main?.survey] ?? [];
    const columns = (tab === "csv" ? page.csv_columns : page.main?.columns ?? []).slice(0, values.length);
    get("columns").replaceChildren(...columns.flatMap(([name, unit], k) => {
      const term = document.createElement("dt");
      term.textContent = name;
      const value = document.createElement("dd");
      value.textContent = values[k] === "" ? "–" : values[k];
      if (values[k] !== "" && unit) {
        const small = document.createElement("small");
        small.textContent = ` ${unit}`;
        value.append(small);
      }
      return [term, value];
    }));
    for (const name of ["csv", "survey"]) get(`tab_${name}`).setAttribute("aria-selected", String(tab === name));
  }

  function read(at) {
    if (at === null || !shown) {
      get("readout").textContent = "";
      return;
    }
    const parts = [`λ ${at.toFixed(1)} Å`, `rest ${(at / (1 + plot.z)).toFixed(1)} Å`];
    for (const { kind, wave, flux, ivar, mask } of shown.series) {
      const k = skyharvest.nearest(wave, at);
      if (k < 0) continue;
      const error = ivar[k] > 0 ? ` ± ${(1 / Math.sqrt(ivar[k])).toPrecision(2)}` : "";
      const run = mask.find(([start, stop]) => start <= k && k < stop);
      const bits = run ? `, mask ${run[2]}` : ivar[k] > 0 ? "" : ", no ivar";
      parts.push(`${kind === "combined" ? "flux" : kind} ${flux[k].toPrecision(4)}${error}${bits}`);
    }
    for (const { name, wave, flux, error } of shown.overlaid) {
      const k = skyharvest.nearest(wave, at);
      if (k >= 0 && Number.isFinite(flux[k])) parts.push(`${name} ${flux[k].toPrecision(4)} ± ${error[k].toPrecision(2)}`);
    }
    get("readout").textContent = parts.join("   ");
  }

  // --- Controls ----------------------------------------------------------------------------------------------------

  const mode = () => document.querySelector("input[name=mode]:checked")?.value ?? "combined";
  const sigma = () => Number(get("smoothing").value);

  function setRedshift(z) {
    plot.setRedshift(z);
    get("redshift").value = String(Number(z.toFixed(6)));
    get("redshift_slider").value = String(z);
    get("reset_redshift").disabled = wanted < 0 || z === measured(wanted);
  }

  function smoothed() {
    get("smoothing_value").textContent = sigma() ? `σ ${sigma()} px` : "off";
    if (!shown) return;
    plot.smoothBy(sigma());
  }

  function jump(event) {
    event.preventDefault();
    const text = get("jump_text").value;
    if (!text.trim()) return;
    const i = find(text);
    get("jump_text").setAttribute("aria-invalid", String(i < 0));
    if (i < 0) {
      say(`No source here has the TARGETID or CSV row “${text.trim()}”.`);
      return;
    }
    if (!sources.shown.includes(i)) {
      get("filter").value = "";
      sources.setFilter("");
    }
    say("");
    get("jump_text").blur();
    pick(i);
  }

  const WRITING = "input:not([type=range]):not([type=checkbox]):not([type=radio]), textarea, select";

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.(WRITING)) return;
    const range = event.target.matches?.("input[type=range], input[type=radio]");
    const steps = { n: 1, p: -1 };
    if (!range) Object.assign(steps, { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 });
    if (event.key === "/") {
      event.preventDefault();
      get("jump_text").focus();
    } else if (event.key in steps) {
      event.preventDefault();
      pick(sources.step(steps[event.key]));
    }
  }

  function connect() {
    get("previous").addEventListener("click", () => pick(sources.step(-1)));
    get("next").addEventListener("click", () => pick(sources.step(1)));
    get("jump").addEventListener("submit", jump);
    get("filter").addEventListener("input", () => sources.setFilter(get("filter").value));
    get("smoothing").addEventListener("input", smoothed);
    get("redshift").addEventListener("input", () => {
      const z = get("redshift").valueAsNumber;
      if (Number.isFinite(z) && z > -1) {
        plot.setRedshift(z);
        get("redshift_slider").value = String(z);
        get("reset_redshift").disabled = z === measured(wanted);
      }
    });
    get("redshift_slider").addEventListener("input", () => setRedshift(Number(get("redshift_slider").value)));
    get("reset_redshift").addEventListener("click", () => setRedshift(measured(wanted)));
    for (const kind of ["emission", "absorption"]) get(kind).addEventListener("change", () => plot.mark(kind, get(kind).checked));
    for (const { survey } of page.overlays) get(survey).addEventListener("change", redraw);
    for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", redraw);
    for (const name of ["csv", "survey"]) {
      get(`tab_${name}`).addEventListener("click", () => {
        tab = name;
        details();
      });
    }
    document.addEventListener("keydown", key);
    addEventListener("hashchange", () => {
      const i = find(location.hash);
      if (i >= 0 && i !== wanted) pick(i);
    });
  }

  function introduce() {
    const { attributes } = page;
    const about = [`NSIDE ${attributes.nside ?? 16} ${attributes.ordering ?? ""}`.trim()];
    for (const [survey, release] of Object.entries(page.releases)) about.push(`${survey} ${release}`);
    if (attributes.created) about.push(`made ${String(attributes.created).slice(0, 10)}`);
    get("about").textContent = about.join(" · ");
    get("tab_csv").textContent = `CSV (${page.name})`;
    get("tab_survey").hidden = !page.main;
    get("tab_survey").textContent = page.main?.title ?? "";
    get("reset_redshift").title = page.main ? `${page.main.title}'s redshift` : "";
    get("modes").hidden = !(page.arms.length && page.grids.combined);
    if (page.arms.length && !page.grids.combined) document.querySelector("input[name=mode][value=arms]").checked = true;
    for (const { survey, title } of page.overlays) {
      const label = document.createElement("label");
      const box = Object.assign(document.createElement("input"), { id: survey, type: "checkbox", checked: true });
      label.append(box, ` ${title}`);
      get("layers").append(label);
    }
    get("cutout").hidden = !table.n_images;
  }

  async function start() {
    if (typeof Bokeh === "undefined") {
      say("assets/ cannot be read. It belongs beside this page: copy it along, or make both again with `snakemake browse`.");
      return;
    }
    introduce();
    const kinds = [...(page.grids.combined ? ["combined"] : []), ...page.arms];
    // A place on the plot for each overlay's spectra of the source that has most.
    const places = page.overlays.flatMap(({ survey }) =>
      Array.from({ length: Math.max(0, ...table[`n_${survey}`]) }, (_, k) => ({ survey, k })));
    const nameOf = (kind) => (kind === "combined" ? page.main.title : `${page.main.title} ${kind}`);
    plot = new skyharvest.Plot(get("plot"), page.lines, new Map(kinds.map((kind) => [kind, nameOf(kind)])), places, read);
    skyharvest.plot = plot;
    sources = new skyharvest.Table(get("list"), table, page.overlays, pick, place);
    skyharvest.sources = sources;
    connect();
    place();
    const linked = location.hash.length > 1;
    const first = linked ? find(location.hash) : -1;
    await Promise.all([
      plot.show(),
      ...Object.entries(page.grids).map(async ([kind, text]) => {
        grids[kind] = await skyharvest.decode(text, Float64Array);
      }),
    ]);
    if (!sources.n) {
      document.body.classList.add("empty");
      say("No source of this pixel has a spectrum.");
    } else {
      await pick(first >= 0 ? first : sources.shown[0]);
      sources.reveal(true);
      if (linked && first < 0) say("No source here is what the link asks for; this is the first one.");
    }
    skyharvest.ready = true;
  }

  skyharvest.current = () => shown;
  skyharvest.started = start();
})();
