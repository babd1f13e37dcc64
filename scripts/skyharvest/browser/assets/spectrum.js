// Arithmetic on spectra: no page, no plot.
"use strict";

(() => {
  const REACH = 4; // of the Gaussian, in its sigma

  // Pixels that are measured: not masked, with an error, with a flux.
  skyharvest.goodPixels = (flux, ivar, mask) => {
    const good = new Uint8Array(flux.length).fill(1);
    for (const [start, stop] of mask) good.fill(0, start, stop);
    for (let i = 0; i < good.length; i++) if (!(ivar[i] > 0) || !Number.isFinite(flux[i])) good[i] = 0;
    return good;
  };

  // The mean of good pixels under a Gaussian of `sigma` pixels, and its error; NaN where there is none.
  skyharvest.smooth = (flux, ivar, good, sigma) => {
    const n = flux.length;
    const half = Math.ceil(REACH * sigma);
    const weight = Float64Array.from({ length: half + 1 }, (_, k) => Math.exp(-0.5 * (k / sigma) ** 2));
    const mean = new Float64Array(n);
    const error = new Float64Array(n);
    for (let i = 0; i < n; i++) {
      let weights = 0;
      let sum = 0;
      let variance = 0;
      const stop = Math.min(n - 1, i + half);
      for (let j = Math.max(0, i - half); j <= stop; j++) {
        if (!good[j]) continue;
        const w = weight[Math.abs(j - i)];
        weights += w;
        sum += w * flux[j];
        variance += (w * w) / ivar[j];
      }
      mean[i] = weights > 0 ? sum / weights : NaN;
      error[i] = weights > 0 ? Math.sqrt(variance) / weights : NaN;
    }
    return { mean, error };
  };

  skyharvest.errors = (ivar) => Float64Array.from(ivar, (value) => (value > 0 ? 1 / Math.sqrt(value) : NaN));

  // Runs of pixels that are not good, as edges in wavelength, half a pixel to either side.
  skyharvest.gaps = (wave, good) => {
    const left = [];
    const right = [];
    const half = (wave[1] - wave[0]) / 2;
    for (let i = 0; i < good.length; i++) {
      if (good[i]) continue;
      left.push(wave[i] - half);
      while (i + 1 < good.length && !good[i + 1]) i++;
      right.push(wave[i] + half);
    }
    return { left, right };
  };

  // The range that shows spectra and not their worst pixels: of `values` all but a `share` at either end, and all `lines`.
  skyharvest.fluxRange = (pieces) => {
    let low = 0;
    let high = 0;
    for (const { values, share, lines } of pieces) {
      const sorted = Float64Array.from(values).filter(Number.isFinite).sort();
      if (!sorted.length) continue;
      const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
      low = Math.min(low, at(share));
      high = lines.reduce((most, value) => Math.max(most, value), Math.max(high, at(1 - share)));
    }
    if (high <= low) high = low + 1;
    const span = high - low;
    return [low - 0.06 * span, high + 0.24 * span]; // labels of lines have their place above
  };

  // Index of the grid's pixel that is nearest to a wavelength, or -1 off the grid. Grids are evenly spaced, nearly.
  skyharvest.nearest = (wave, at) => {
    const n = wave.length;
    if (!n || at < 1.5 * wave[0] - 0.5 * wave[1] || at > 1.5 * wave[n - 1] - 0.5 * wave[n - 2]) return -1;
    let low = 0;
    let high = n - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (wave[middle] <= at) low = middle;
      else high = middle;
    }
    return at - wave[low] <= wave[high] - at ? low : high;
  };
})();
