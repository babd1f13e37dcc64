// What a page knows, and how spectra come from the scripts beside it. See browser/data.py for the format.
"use strict";
const skyharvest = {};

(() => {
  const KEPT = 12; // scripts in memory, of about 1 MB each
  const arrived = new Map();
  const asked = new Map();

  skyharvest.read = () => JSON.parse(document.getElementById("data").textContent);

  // Undoes encode of browser/encoding.py.
  skyharvest.decode = async (text, Type) => {
    const packed = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    const planes = new Uint8Array(await new Response(stream).arrayBuffer());
    const size = Type.BYTES_PER_ELEMENT;
    const n = planes.length / size;
    const bytes = new Uint8Array(planes.length);
    for (let plane = 0; plane < size; plane++) {
      for (let k = 0; k < n; k++) bytes[k * size + plane] = planes[plane * n + k];
    }
    return new Type(bytes.buffer);
  };

  // Returns arrays of equal length that were encoded together.
  skyharvest.decodeTogether = async (text, n) => {
    const all = await skyharvest.decode(text, Float32Array);
    return Array.from({ length: n }, (_, k) => all.subarray((k * all.length) / n, ((k + 1) * all.length) / n));
  };

  skyharvest.deliver = (name, content) => arrived.set(name, content);

  // Returns a promise of what a script beside the page delivers; `command` makes it again.
  skyharvest.load = (directory, name, command) => {
    if (asked.has(name)) {
      const known = asked.get(name);
      asked.delete(name);
      asked.set(name, known); // the newest is last
      return known;
    }
    const promise = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const fail = () => {
        asked.delete(name);
        script.remove();
        reject(new Error(
          `${directory}/${name} cannot be read. It belongs beside this page: copy the directory ${directory} ` +
          `along with it, or make both again with \`${command}\`.`
        ));
      };
      script.onerror = fail;
      script.onload = () => {
        const content = arrived.get(name);
        if (content === undefined) return fail();
        arrived.delete(name);
        script.remove();
        resolve(content);
      };
      script.src = `${encodeURIComponent(directory)}/${encodeURIComponent(name)}`;
      document.head.append(script);
    });
    asked.set(name, promise);
    for (const oldest of asked.keys()) {
      if (asked.size <= KEPT) break;
      asked.delete(oldest);
    }
    return promise;
  };
})();
