// The plot of a spectrum, with Bokeh.
"use strict";

(() => {
  const COLORS = { combined: "#1d4e79", b: "#2b6cb0", r: "#a8443f", z: "#6b4a8e" };
  const FAINT = { combined: "#a9bccd", b: "#a8c4e2", r: "#dfb4b1", z: "#c4b4d6" };
  const OVERLAYS = ["#c8691a", "#9a7a12", "#b5487c", "#4f7f2a"];
  const MARKERS = { emission: "#1c7c63", absorption: "#9a5b13" };
  const POINTED = "#c8691a";
  const ALPHA = [0.7, 0.4, 0.25]; // of markers, by rank
  const INK = "#46525f";
  const LABEL_PX = 12; // between labels of lines
  const FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";

  skyharvest.Plot = class {
    // `lines`: of each kind [label, rest wavelength, rank]; `names`: kind of spectra → its name; `places`: of each
    // overlaid spectrum that a source can have {survey, k}; `moved` is called with the wavelength under the pointer.
    constructor(element, lines, names, places, moved) {
      this.lines = lines;
      this.names = names;
      this.kinds = [...names.keys()];
      this.places = places;
      this.z = 0;
      this.marked = { emission: true, absorption: true };
      this.series = [];
      this.element = element;
      this.moved = moved;
      this.#build();
    }

    #build() {
      const { Range1d, Legend } = Bokeh;
      this.x = new Range1d({ start: 3600, end: 9824 });
      this.y = new Range1d({ start: -1, end: 1 });
      const touch = matchMedia("(pointer: coarse)").matches;
      const figure = new Bokeh.Plotting.Figure({
        x_range: this.x, y_range: this.y, sizing_mode: "stretch_both", min_height: 200,
        tools: ["pan", "box_zoom", "xwheel_zoom", "reset", "save"],
        active_drag: touch ? null : "box_zoom", active_scroll: null, // a wheel that zooms hides what is below the plot
        toolbar_location: "right", toolbar_sticky: false, name: "spectrum",
        background_fill_color: "#ffffff", border_fill_color: "#ffffff", outline_line_color: "#c9d0d7",
        lod_threshold: null, min_border_left: 44, min_border_right: 8, min_border_top: 6,
      });
      this.figure = figure;
      figure.toolbar.logo = null;
      this.#axis(figure.xaxes[0], "Wavelength in vacuum (Å)");
      this.#axis(figure.yaxes[0], "Flux (10⁻¹⁷ erg s⁻¹ cm⁻² Å⁻¹)");
      const grid = { grid_line_color: "#eef1f4" };
      for (const each of [...figure.xgrids, ...figure.ygrids]) each.setv(grid);

      const source = (data) => new Bokeh.ColumnDataSource({ data });
      const named = (renderer, name) => {
        renderer.name = name;
        return renderer;
      };
      this.masked = source({ left: [], right: [] });
      named(figure.vstrip({
        x0: { field: "left" }, x1: { field: "right" }, source: this.masked,
        fill_color: "#dfe3e8", line_color: "#dfe3e8", line_width: 1, // a single pixel is to be seen as well
      }), "masked");
      this.parts = {};
      for (const kind of this.kinds) {
        const part = {
          band: source({ x: [], low: [], high: [] }),
          flux: source({ x: [], y: [] }),
          smooth: source({ x: [], y: [] }),
        };
        this.parts[kind] = part;
        part.bandRenderer = named(figure.varea({
          x: { field: "x" }, y1: { field: "low" }, y2: { field: "high" }, source: part.band,
          fill_color: COLORS[kind], fill_alpha: 0.16,
        }), `band_${kind}`);
        part.fluxRenderer = named(figure.step({
          x: { field: "x" }, y: { field: "y" }, source: part.flux, mode: "center", line_color: COLORS[kind], line_width: 1,
        }), `flux_${kind}`);
        part.smoothRenderer = named(figure.line({
          x: { field: "x" }, y: { field: "y" }, source: part.smooth, line_color: COLORS[kind], line_width: 1.4,
        }), `smooth_${kind}`);
      }
      this.overlays = this.places.map(({ survey, k }, i) => {
        const color = OVERLAYS[i % OVERLAYS.length];
        const data = source({ x: [], y: [] });
        const band = source({ x: [], low: [], high: [] });
        const bandRenderer = named(figure.varea({
          x: { field: "x" }, y1: { field: "low" }, y2: { field: "high" }, source: band, fill_color: color, fill_alpha: 0.14,
        }), `${survey}_band_${k}`);
        const renderer = named(figure.line({
          x: { field: "x" }, y: { field: "y" }, source: data, line_color: color, line_width: 1, line_alpha: 0.85,
        }), `${survey}_${k}`);
        return { survey, k, data, band, renderer, bandRenderer };
      });
      this.pointed = source({ x: [] });
      named(figure.vspan({ field: "x" }, { source: this.pointed, line_color: POINTED, line_width: 7, line_alpha: 0.18 }), "detected");
      this.markers = {};
      for (const kind of ["emission", "absorption"]) {
        const markers = source({ x: [], label: [], rank: [], alpha: [] });
        const labels = source({ x: [], label: [], y: [] });
        const renderer = named(figure.vspan({ field: "x" }, {
          source: markers, line_color: MARKERS[kind], line_dash: kind === "emission" ? "dashed" : "dotted",
          line_width: 1, line_alpha: { field: "alpha" },
        }), `markers_${kind}`);
        const set = new Bokeh.LabelSet({
          x: { field: "x" }, y: { field: "y" }, y_units: "screen", text: { field: "label" }, source: labels,
          angle: Math.PI / 2, text_align: kind === "emission" ? "right" : "left", text_baseline: "middle",
          text_font: FONT, text_font_size: "11px", text_color: MARKERS[kind],
          background_fill_color: "#ffffff", background_fill_alpha: 0.8, name: `labels_${kind}`,
        });
        figure.add_layout(set);
        this.markers[kind] = { markers, labels, renderer, set };
      }
      this.legend = new Legend({
        items: [], location: "top_right", orientation: "horizontal", click_policy: "hide", spacing: 12, padding: 4, margin: 0,
        border_line_color: null, background_fill_alpha: 0, label_text_font: FONT, label_text_font_size: "12px",
        label_text_color: INK, glyph_width: 16, label_height: 14, glyph_height: 14,
      });
      figure.add_layout(this.legend, "above");
      const crosshair = new Bokeh.CrosshairTool({ dimensions: "height", line_color: "#8a96a3", line_width: 1, line_alpha: 0.7 });
      figure.add_tools(crosshair);
      crosshair.visible = false;
      figure.on_event("mousemove", (event) => this.moved(event.x));
      figure.on_event("mouseleave", () => this.moved(null));
      const relabel = () => {
        cancelAnimationFrame(this.waiting);
        this.waiting = requestAnimationFrame(() => {
          this.#label();
          this.#bands();
        });
      };
      for (const property of [this.x.properties.start, this.x.properties.end, figure.properties.inner_height,
        figure.properties.inner_width]) property.change.connect(relabel);
    }

    #axis(axis, label) {
      axis.setv({
        axis_label: label, axis_label_text_font: FONT, axis_label_text_font_style: "normal", axis_label_text_font_size: "12px",
        axis_label_text_color: INK, major_label_text_font: FONT, major_label_text_font_size: "11px",
        major_label_text_color: INK, axis_line_color: "#c9d0d7", major_tick_line_color: "#c9d0d7",
        minor_tick_line_color: null, axis_label_standoff: 6,
      });
    }

    async show() {
      this.view = await Bokeh.Plotting.show(this.figure, this.element);
    }

    // `series`: [{kind, wave, flux, ivar, mask}]; `overlaid`: [{survey, name, wave, flux, error}].
    draw(series, overlaid, sigma) {
      this.series = series.map((one) => ({ ...one, good: skyharvest.goodPixels(one.flux, one.ivar, one.mask) }));
      this.spectra = overlaid.map((one) => {
        const ivar = Float64Array.from(one.error, (error) => 1 / error ** 2);
        return { ...one, ivar, good: skyharvest.goodPixels(one.flux, ivar, []) };
      });
      const gaps = this.series.map(({ wave, good }) => skyharvest.gaps(wave, good));
      this.masked.data = { left: gaps.flatMap(({ left }) => left), right: gaps.flatMap(({ right }) => right) };
      this.#smooth(sigma);
      this.#overlay(sigma);
      this.#list();
      this.fit();
    }

    smoothBy(sigma) {
      this.#smooth(sigma);
      if (!this.series.length) this.#overlay(sigma);
      this.#bands();
    }

    #smooth(sigma) {
      const drawn = new Map(this.series.map((one) => [one.kind, one]));
      for (const kind of this.kinds) {
        const part = this.parts[kind];
        const one = drawn.get(kind);
        const empty = { x: [], y: [] };
        if (!one) {
          part.flux.data = empty;
          part.smooth.data = empty;
          part.band.data = { x: [], low: [], high: [] };
          continue;
        }
        const error = skyharvest.errors(one.ivar);
        one.smoothed = sigma > 0 ? skyharvest.smooth(one.flux, one.ivar, one.good, sigma) : { mean: one.flux, error };
        if (part.drawnOf !== one) part.flux.data = { x: one.wave, y: one.flux };
        part.drawnOf = one;
        part.smooth.data = sigma > 0 ? { x: one.wave, y: one.smoothed.mean } : empty;
        part.fluxRenderer.glyph.line_color = sigma > 0 ? FAINT[kind] : COLORS[kind];
      }
    }

    // Overlaid spectra are smoothed where they are alone: over others they show what was measured.
    #overlay(sigma) {
      for (const { survey, k, data, band } of this.overlays) {
        const one = this.spectra.filter((spectrum) => spectrum.survey === survey)[k];
        if (!one) {
          data.data = { x: [], y: [] };
          band.data = { x: [], low: [], high: [] };
          continue;
        }
        const { mean, error } = sigma > 0 && !this.series.length
          ? skyharvest.smooth(one.flux, one.ivar, one.good, sigma) : { mean: one.flux, error: one.error };
        data.data = { x: one.wave, y: mean };
        band.data = skyharvest.band(one.wave, mean, error);
      }
    }

    // Bands as fine as the screen is: to fill one of 7,781 jagged points takes a browser 0.1 s.
    #bands() {
      const width = this.figure.inner_width;
      if (!width) return;
      for (const one of this.series) {
        const step = (one.wave[one.wave.length - 1] - one.wave[0]) / (one.wave.length - 1);
        const every = Math.max(1, Math.floor((this.x.end - this.x.start) / step / width));
        if (one.banded === one.smoothed && one.every === every) continue;
        one.banded = one.smoothed;
        one.every = every;
        const band = skyharvest.band(one.wave, one.smoothed.mean, one.smoothed.error, one.good);
        this.parts[one.kind].band.data = skyharvest.coarse(band, every);
      }
    }

    #list() {
      const { LegendItem } = Bokeh;
      const names = [...this.series.map(({ kind }) => kind), ...this.spectra.map(({ name }) => name)].join();
      if (names === this.listed) return;
      this.listed = names;
      const of = (label, renderers) => new LegendItem({ label: { value: label }, renderers });
      const items = this.series.map(({ kind }) => {
        const { smoothRenderer, fluxRenderer, bandRenderer } = this.parts[kind];
        return of(this.names.get(kind), [smoothRenderer, fluxRenderer, bandRenderer]);
      });
      const placed = new Map();
      for (const { survey, name } of this.spectra) {
        const k = placed.get(survey) ?? 0;
        placed.set(survey, k + 1);
        const { renderer, bandRenderer } = this.overlays.find((one) => one.survey === survey && one.k === k);
        items.push(of(name, [renderer, bandRenderer]));
      }
      for (const item of items) for (const renderer of item.renderers) renderer.visible = true;
      const narrow = this.element.clientWidth < 560;
      this.legend.setv({ items, orientation: narrow ? "vertical" : "horizontal", spacing: narrow ? 0 : 12 });
    }

    // Shows the whole of what is drawn, and makes that what "reset" goes back to.
    fit() {
      const waves = this.series.map(({ wave }) => wave).concat(this.spectra.map(({ wave }) => wave)).filter((w) => w.length);
      const start = Math.min(...waves.map((wave) => wave[0]));
      const end = Math.max(...waves.map((wave) => wave[wave.length - 1]));
      const [x0, x1] = waves.length ? [start - 30, end + 30] : [3600, 9824];
      const [y0, y1] = skyharvest.fluxRange([
        ...this.series.map((one) => ({
          values: one.smoothed.mean.filter((_, i) => one.good[i]), share: 0.003, lines: skyharvest.significant(one),
        })),
        ...this.spectra.map((one) => ({
          values: one.flux, share: 0.02, lines: this.series.length ? [] : skyharvest.significant(one),
        })),
      ]);
      this.x.setv({ start: x0, end: x1, reset_start: x0, reset_end: x1 });
      this.y.setv({ start: y0, end: y1, reset_start: y0, reset_end: y1 });
      this.#label();
      this.#bands();
    }

    // Marks where a source was detected; null: nowhere.
    point(wave) {
      this.pointed.data = { x: wave === null ? [] : [wave] };
    }

    // Shows what is drawn within so many Å of a wavelength.
    around(wave, half) {
      const near = [];
      for (const { wave: grid, smoothed, good } of this.series) {
        for (let i = 0; i < grid.length; i++) if (good[i] && Math.abs(grid[i] - wave) < half) near.push(smoothed.mean[i]);
      }
      this.x.setv({ start: wave - half, end: wave + half });
      if (!near.length) return;
      const [start, end] = skyharvest.fluxRange([{ values: near, share: 0, lines: near }]);
      this.y.setv({ start, end });
    }

    setRedshift(z) {
      this.z = z;
      for (const [kind, { markers }] of Object.entries(this.markers)) {
        const lines = this.lines[kind];
        markers.data = {
          x: lines.map(([, wave]) => wave * (1 + z)), label: lines.map(([label]) => label),
          rank: lines.map(([, , rank]) => rank), alpha: lines.map(([, , rank]) => ALPHA[rank - 1]),
        };
      }
      this.#label();
    }

    mark(kind, on) {
      this.marked[kind] = on;
      this.markers[kind].renderer.visible = on;
      this.markers[kind].set.visible = on;
    }

    // Writes as many labels as there is room for, those of the strongest lines first.
    #label() {
      const width = this.figure.inner_width;
      const height = this.figure.inner_height;
      const { start, end } = this.x;
      if (!width || !(end > start)) return;
      for (const [kind, { markers, labels }] of Object.entries(this.markers)) {
        const { x, label, rank } = markers.data;
        const written = [];
        const order = Array.from(x, (_, i) => i).sort((i, j) => rank[i] - rank[j] || i - j);
        for (const i of order) {
          const at = ((x[i] - start) / (end - start)) * width;
          if (at < 4 || at > width - 4) continue;
          if (written.every((other) => Math.abs(other.at - at) >= LABEL_PX)) written.push({ at, i });
        }
        written.sort((a, b) => a.at - b.at);
        labels.data = {
          x: written.map(({ i }) => x[i]), label: written.map(({ i }) => label[i]),
          y: written.map(() => (kind === "emission" ? height - 5 : 5)),
        };
      }
    }
  };

  // A band of one sigma; of no width where there is no error.
  skyharvest.band = (wave, mean, error, good) => {
    const low = new Float64Array(wave.length);
    const high = new Float64Array(wave.length);
    for (let i = 0; i < wave.length; i++) {
      const sigma = (good === undefined || good[i]) && Number.isFinite(error[i]) ? error[i] : 0;
      low[i] = mean[i] - sigma;
      high[i] = mean[i] + sigma;
    }
    return { x: wave, low, high };
  };

  // The envelope of a band, of so many pixels each: what is seen of it where they share a column of the screen.
  skyharvest.coarse = ({ x, low, high }, every) => {
    if (every < 2) return { x, low, high };
    const n = Math.ceil(x.length / every);
    const made = { x: new Float64Array(n), low: new Float64Array(n).fill(Infinity), high: new Float64Array(n).fill(-Infinity) };
    for (let i = 0; i < x.length; i++) {
      const k = Math.floor(i / every);
      if (low[i] < made.low[k]) made.low[k] = low[i];
      if (high[i] > made.high[k]) made.high[k] = high[i];
    }
    for (let k = 0; k < n; k++) {
      made.x[k] = (x[k * every] + x[Math.min(x.length, (k + 1) * every) - 1]) / 2;
      if (made.low[k] > made.high[k]) made.low[k] = made.high[k] = NaN;
    }
    return made;
  };

  // Flux of good pixels whose neighbours are high as well: a line, not a cosmic ray.
  skyharvest.significant = ({ flux, ivar, good }) => {
    const found = [];
    for (let i = 1; i + 1 < flux.length; i++) {
      if (!good[i - 1] || !good[i] || !good[i + 1]) continue;
      if (flux[i] * Math.sqrt(ivar[i]) < 8) continue;
      const least = Math.min(flux[i - 1] * Math.sqrt(ivar[i - 1]), flux[i + 1] * Math.sqrt(ivar[i + 1]));
      if (least > 6) found.push(flux[i]);
    }
    return found;
  };
})();
