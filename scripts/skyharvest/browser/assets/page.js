// The page: picks a source, and shows what there is of it. What is said of it, and by which name it is found, is told by
// what describes the page's kind: pixel.js, detections.js.
"use strict";

(() => {
  const get = (id) => document.getElementById(id);
  const page = skyharvest.read();
  const described = skyharvest.describe(page);
  const { table } = page;
  const grids = {};
  let shown = null; // what is on the plot: {source, series, overlaid}
  let wanted = -1; // the source that was picked last
  let sources;
  let plot;
  let tab = described.tabs[0];

  skyharvest.page = page;
  skyharvest.ready = false;

  // --- Picking -----------------------------------------------------------------------------------------------------

  const load = (kind, i) => {
    const name = page.files[kind][Math.floor(i / page.rows_per_file[kind])];
    return skyharvest.load(page.directory, name, described.command);
  };
  const within = (kind, i) => i % page.rows_per_file[kind];
  const find = (text) => described.find(text.trim().replace(/^#/, ""));

  function say(text) {
    get("message").textContent = text;
    get("message").hidden = !text;
  }

  async function spectraOf(i, record) {
    if (mode() === "arms") {
      const arms = (await load("arms", i)).sources[within("arms", i)];
      return Promise.all(Object.entries(arms).map(([arm, spectrum]) => series(arm, spectrum)));
    }
    return record.data ? [await series("combined", record)] : [];
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
    if (!keepRedshift) setRedshift(described.redshift(i));
    try {
      const file = await load("spectra", i);
      const record = file.sources[within("spectra", i)];
      const [drawn, overlaid] = await Promise.all([spectraOf(i, record), overlaysOf(i, file)]);
      if (wanted !== i) return; // another one has been picked since
      say(drawn.length || overlaid.length ? "" : described.without(i));
      shown = { source: i, series: drawn, overlaid, record, file };
      heading(i);
      address(i);
      picture(file.images?.[table.row?.[i]]);
      details();
      if (described.noReport) report(i);
      plot.draw(drawn, overlaid, sigma());
      detected(i);
      prefetch(i);
    } catch (error) {
      if (wanted === i) say(error.message);
    }
  }

  function address(i) {
    try {
      history.replaceState(null, "", `#${described.permalink(i)}`);
    } catch {
      // Browsers refuse when a key is held down: the next source has its address again.
    }
  }

  const needed = () => ["spectra", ...(mode() === "arms" ? ["arms"] : []), ...(described.noReport ? ["reports"] : [])];

  // What is next is there before it is asked for.
  function prefetch(i) {
    for (const by of [1, -1]) {
      const next = sources.step(by);
      if (next >= 0) for (const kind of needed()) load(kind, next).catch(() => {});
    }
  }

  function redraw() {
    if (wanted >= 0) pick(wanted, { keepRedshift: true });
  }

  function place() {
    const at = sources.shown.indexOf(sources.selected);
    get("place").textContent = sources.shown.length ? `${at < 0 ? "–" : at + 1} of ${sources.shown.length}` : "none";
    const [one, many] = described.counted;
    get("count").textContent = sources.shown.length === sources.n
      ? `${sources.n} ${sources.n === 1 ? one : many}` : `${sources.shown.length} of ${sources.n} ${many}`;
    get("previous").disabled = sources.step(-1) < 0;
    get("next").disabled = sources.step(1) < 0;
  }

  // --- What is said of a source ------------------------------------------------------------------------------------

  function heading(i) {
    get("targetid").textContent = described.name(i);
    get("permalink").href = `#${described.permalink(i)}`;
    get("facts").replaceChildren(...described.facts(i).map(([name, value, warning]) => {
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
    for (const one of described.tabs) get(`tab_${one.id}`).setAttribute("aria-selected", String(one === tab));
    if (!shown) return;
    const values = tab.values(shown.record) ?? [];
    get("columns").replaceChildren(...tab.columns.slice(0, values.length).flatMap(([name, unit], k) => {
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
  }

  // The picture that was made of a source: as wide as there is room, and whole when it is clicked on.
  async function report(i) {
    let picture = null;
    let words = described.noReport(i);
    if (table.report[i]) {
      try {
        picture = (await load("reports", i)).reports[within("reports", i)];
      } catch (error) {
        words = error.message;
      }
    }
    if (wanted !== i) return; // another one has been picked since
    get("whole").hidden = !picture;
    get("no_report").hidden = Boolean(picture);
    get("no_report").textContent = words;
    for (const name of picture ? ["report", "whole_report"] : []) {
      get(name).src = `data:image/png;base64,${picture}`;
      get(name).alt = `Report of ${described.name(i)}`;
    }
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
  const NEAR = 100; // Å to either side of a line

  function setRedshift(z) {
    plot.setRedshift(z);
    get("redshift").value = String(Number(z.toFixed(6)));
    get("redshift_slider").value = String(z);
    told(z);
  }

  // What has to agree with the redshift: the way back to the source's own, and which guess it is.
  function told(z) {
    get("reset_redshift").disabled = wanted < 0 || z === described.redshift(wanted);
    if (!described.guesses || wanted < 0) return;
    const guesses = described.guesses(wanted);
    const options = [["", "–"], ...guesses.map(({ label, z: of }) => [String(of), `${label}  z ${of.toFixed(4)}`])];
    get("guess").replaceChildren(...options.map(([value, text]) => new Option(text, value)));
    get("guess").disabled = !guesses.length;
    get("guess").value = guesses.some(({ z: of }) => of === z) ? String(z) : "";
  }

  // Where a source was detected.
  function detected(i) {
    if (!described.wave) return;
    const wave = described.wave(i);
    plot.point(wave);
    if (wave !== null && get("near").checked) plot.around(wave, NEAR);
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
      say(described.unknown(text.trim()));
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
        told(z);
      }
    });
    get("redshift_slider").addEventListener("input", () => setRedshift(Number(get("redshift_slider").value)));
    get("reset_redshift").addEventListener("click", () => setRedshift(described.redshift(wanted)));
    for (const kind of ["emission", "absorption"]) get(kind).addEventListener("change", () => plot.mark(kind, get(kind).checked));
    for (const { survey } of page.overlays) get(survey).addEventListener("change", redraw);
    for (const input of document.querySelectorAll("input[name=mode]")) input.addEventListener("change", redraw);
    if (described.guesses) {
      get("guess").addEventListener("change", () => get("guess").value && setRedshift(Number(get("guess").value)));
      get("near").addEventListener("change", () => {
        if (!shown) return;
        plot.fit();
        detected(shown.source);
      });
    }
    get("whole").addEventListener("click", () => get("whole_view").showModal());
    get("whole_view").addEventListener("click", () => get("whole_view").close());
    document.addEventListener("keydown", key);
    addEventListener("hashchange", () => {
      const i = find(location.hash);
      if (i >= 0 && i !== wanted) pick(i);
    });
  }

  function introduce() {
    get("about").textContent = described.about.join(" · ");
    get("reset_redshift").title = described.redshiftOf;
    get("guesses").hidden = !described.guesses;
    document.body.classList.toggle("reported", Boolean(described.noReport));
    document.querySelector(".report").hidden = !described.noReport;
    get("tabs").replaceChildren(...described.tabs.map((one) => {
      const button = Object.assign(document.createElement("button"), {
        id: `tab_${one.id}`, type: "button", textContent: one.title, hidden: Boolean(one.hidden),
      });
      button.setAttribute("role", "tab");
      button.addEventListener("click", () => {
        tab = one;
        details();
      });
      return button;
    }));
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
      say(`assets/ cannot be read. It belongs beside this page: copy it along, or make both again with \`${described.command}\`.`);
      return;
    }
    introduce();
    const kinds = [...(page.grids.combined ? ["combined"] : []), ...page.arms];
    // A place on the plot for each overlay's spectra of the source that has most.
    const places = page.overlays.flatMap(({ survey }) =>
      Array.from({ length: Math.max(0, ...table[`n_${survey}`]) }, (_, k) => ({ survey, k })));
    const nameOf = (kind) => (kind === "combined" ? described.title : `${described.title} ${kind}`);
    plot = new skyharvest.Plot(get("plot"), page.lines, new Map(kinds.map((kind) => [kind, nameOf(kind)])), places, read);
    skyharvest.plot = plot;
    sources = new skyharvest.Table(get("list"), table, described, pick, place);
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
      say(described.none);
    } else {
      await pick(first >= 0 ? first : sources.shown[0]);
      sources.reveal(true);
      if (linked && first < 0) say(described.lost);
    }
    skyharvest.ready = true;
  }

  skyharvest.current = () => shown;
  skyharvest.started = start();
})();
