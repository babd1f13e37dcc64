// The table of sources: sorted, filtered, and drawn only where it is seen.
"use strict";

(() => {
  const ROW = 26; // px, as in browser.css
  const SPARE = 8; // rows drawn above and below

  skyharvest.known = (value) => value !== null && value !== undefined && value !== "";
  skyharvest.fixed = (digits) => (value) => (value === null ? "–" : value.toFixed(digits));
  skyharvest.plain = (value) => (skyharvest.known(value) ? String(value) : "–");
  // Of whole numbers as text, which may have more digits than JavaScript's numbers hold.
  skyharvest.compareIds = (a, b) => {
    const [p, q] = [BigInt(a), BigInt(b)];
    return p < q ? -1 : p > q ? 1 : 0;
  };
  const OPERATORS = {
    "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
    "=": (a, b) => a === b, "!=": (a, b) => a !== b,
  };

  // Returns a function of a source that tells whether all terms of a filter hold: `qso z>2 zwarn=0`.
  skyharvest.filterOf = (text, table, { id, names, texts }) => {
    const terms = text.toLowerCase().split(/\s+/).filter(Boolean).map((term) => {
      const found = /^([a-z_][a-z_0-9]*)(<=|>=|!=|<|>|=)(.+)$/.exec(term);
      const key = found && [names[found[1]], `n_${found[1]}`, found[1]].find((name) => table[name]);
      if (key) {
        const [, , operator, wanted] = found;
        const number = Number(wanted);
        if (Number.isNaN(number) || key === id) {
          return (i) => OPERATORS[operator](String(table[key][i]).toLowerCase(), wanted);
        }
        return (i) => table[key][i] !== null && OPERATORS[operator](Number(table[key][i]), number);
      }
      return (i) => texts.some((name) => table[name] && String(table[name][i]).toLowerCase().includes(term));
    });
    return (i) => terms.every((holds) => holds(i));
  };

  skyharvest.Table = class {
    // `described` says what columns there are, and which of them is the id: see pixel.js. `pick` is called with the
    // index of a source that was clicked on, `changed` when order or filter have changed.
    constructor(element, table, described, pick, changed) {
      this.element = element;
      this.table = table;
      this.described = described;
      this.changed = changed;
      this.n = table[described.id].length;
      this.columns = described.columns.filter((column) => table[column.key]);
      this.shown = Array.from({ length: this.n }, (_, i) => i);
      this.selected = -1;
      this.sort = null;
      this.filter = "";
      this.head = element.querySelector("thead tr");
      this.body = element.querySelector("tbody");
      this.columns.forEach((column) => this.#addHeading(column));
      element.querySelector("table").setAttribute("aria-rowcount", this.n + 1);
      element.addEventListener("scroll", () => this.draw());
      new ResizeObserver(() => this.draw()).observe(element);
      this.body.addEventListener("click", (event) => {
        const row = event.target.closest("tr[data-source]");
        if (row) pick(Number(row.dataset.source));
      });
      this.draw();
    }

    #addHeading(column) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.className = column.number ? "number" : "";
      cell.dataset.key = column.key;
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = column.label;
      button.title = column.title ? `${column.title}: sort` : `Sort by ${column.label}`;
      button.addEventListener("click", () => this.sortBy(column.key));
      cell.append(button);
      this.head.append(cell);
    }

    sortBy(key) {
      const same = this.sort && this.sort.key === key;
      this.sort = { key, falling: same ? !this.sort.falling : false };
      for (const cell of this.head.children) {
        if (cell.dataset.key === key) cell.setAttribute("aria-sort", this.sort.falling ? "descending" : "ascending");
        else cell.removeAttribute("aria-sort");
      }
      this.#arrange();
    }

    setFilter(text) {
      this.filter = text;
      this.#arrange();
    }

    #arrange() {
      const holds = skyharvest.filterOf(this.filter, this.table, this.described);
      const shown = [];
      for (let i = 0; i < this.n; i++) if (holds(i)) shown.push(i);
      if (this.sort) {
        const column = this.columns.find(({ key }) => key === this.sort.key);
        const values = this.table[column.key];
        const compare = column.compare ?? ((a, b) => (a < b ? -1 : a > b ? 1 : 0));
        const sign = this.sort.falling ? -1 : 1;
        const empty = (value) => !skyharvest.known(value);
        shown.sort((i, j) => {
          const [a, b] = [values[i], values[j]];
          if (empty(a) || empty(b)) return empty(a) - empty(b) || i - j; // at the end, whichever way
          return sign * compare(a, b) || i - j;
        });
      }
      this.shown = shown;
      this.reveal(false);
      this.draw();
      this.changed();
    }

    select(source) {
      this.selected = source;
      this.reveal(false);
      this.draw();
    }

    // Scrolls the table, and nothing else, to the selected source.
    reveal(always) {
      const at = this.shown.indexOf(this.selected);
      if (at < 0) return;
      const height = this.element.clientHeight - ROW;
      const top = at * ROW;
      if (always || top < this.element.scrollTop || top + ROW > this.element.scrollTop + height) {
        this.element.scrollTop = Math.max(0, top - Math.floor(height / 2 / ROW) * ROW);
      }
    }

    // The source so many places further in the table's order; from one that is filtered away the first or last.
    step(by) {
      if (!this.shown.length) return -1;
      const at = this.shown.indexOf(this.selected);
      if (at < 0) return this.shown[by > 0 ? 0 : this.shown.length - 1];
      return this.shown[at + by] ?? -1;
    }

    draw() {
      const first = Math.max(0, Math.floor(this.element.scrollTop / ROW) - SPARE);
      const last = Math.min(this.shown.length, Math.ceil((this.element.scrollTop + this.element.clientHeight) / ROW) + SPARE);
      const rows = [this.#space(first)];
      for (let k = first; k < last; k++) rows.push(this.#row(this.shown[k], k));
      rows.push(this.#space(this.shown.length - last));
      this.body.replaceChildren(...rows);
    }

    #space(n) {
      const row = document.createElement("tr");
      row.style.height = `${n * ROW}px`;
      row.ariaHidden = "true";
      row.className = "space";
      return row;
    }

    #row(i, place) {
      const row = document.createElement("tr");
      row.dataset.source = i;
      row.setAttribute("aria-rowindex", place + 2);
      if (i === this.selected) row.setAttribute("aria-selected", "true");
      for (const { key, show, number, warns, link } of this.columns) {
        const cell = document.createElement("td");
        const text = show(this.table[key][i]);
        cell.append(link ? Object.assign(document.createElement("a"), { href: link(i), textContent: text }) : text);
        cell.className = `${number ? "number " : ""}${key}`;
        if (warns?.(this.table[key][i], i)) cell.classList.add("warning");
        row.append(cell);
      }
      return row;
    }
  };
})();
