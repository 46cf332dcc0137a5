(() => {
  "use strict";
  // Rows that are added to a table at a time.
  const STEP = 100;
  const collator = new Intl.Collator("en", { numeric: true });

  const compare = (one, other) => {
    const [a, b] = [Number(one), Number(other)];
    const numbers = one !== "" && other !== "" && !isNaN(a) && !isNaN(b);
    return numbers ? a - b : collator.compare(one, other);
  };

  const quote = (value) =>
    /["\t\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;

  const copy = async (text, button) => {
    button.dataset.label ??= button.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Browsers without the clipboard API on file: pages still have this one.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = button.dataset.label; }, 1500);
  };

  // A row of the page, or one of the JSON, whose element is made when it is shown.
  const rowOf = (keys, make) => ({ keys, make, text: keys.join("\t").toLowerCase() });

  const rowsOf = (table) => {
    if (table.id !== "decisions") {
      return [...table.tBodies[0].rows].map((tr) =>
        rowOf([...tr.cells].map((td) => td.dataset.value ?? td.textContent.trim()), () => tr));
    }
    const template = document.getElementById("row").content.firstElementChild;
    return JSON.parse(document.getElementById("rows").textContent).map((keys) =>
      rowOf(keys, () => {
        const tr = template.cloneNode(true);
        [...tr.cells].forEach((td, column) => {
          (td.querySelector("code, pre") ?? td).textContent = keys[column];
        });
        tr.querySelector(".copy").addEventListener("click", (event) =>
          copy(keys.at(-1), event.target));
        return tr;
      }));
  };

  const enhance = (toolbar) => {
    const table = document.getElementById(toolbar.dataset.for);
    const more = table.id === "decisions" ? document.getElementById("more") : null;
    const body = table.tBodies[0];
    const headings = [...table.tHead.rows[0].cells];
    const input = toolbar.querySelector("input");
    const output = toolbar.querySelector("output");
    const rows = rowsOf(table);
    let found = rows;
    let shown = 0;

    const show = (count) => {
      body.append(...found.slice(shown, shown + count).map((row) => row.make()));
      shown = Math.min(found.length, shown + count);
      if (more) {
        more.hidden = shown === found.length;
      }
    };

    const count = () => {
      const [some, all] = [found, rows].map((each) => each.length.toLocaleString("en"));
      const noun = rows.length === 1 ? "row" : "rows";
      output.textContent = found === rows ? `${all} ${noun}` : `${some} of ${all} ${noun}`;
    };

    const update = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      found = words.length
        ? rows.filter((row) => words.every((word) => row.text.includes(word))) : rows;
      count();
      shown = 0;
      body.replaceChildren();
      show(more ? STEP : rows.length);
    };

    const sort = (column) => {
      const heading = headings[column];
      const up = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((each) => each.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      rows.sort((a, b) => (up ? 1 : -1) * compare(a.keys[column], b.keys[column]));
      update();
    };

    headings.forEach((heading, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(column));
      heading.append(button);
    });
    input.addEventListener("input", update);
    toolbar.querySelector(".copy-all").addEventListener("click", (event) => {
      const lines = [headings.map((each) => each.textContent), ...found.map((row) => row.keys)];
      copy(lines.map((line) => line.map(quote).join("\t")).join("\n"), event.target);
    });
    more?.addEventListener("click", () => {
      const next = body.rows.length;
      show(STEP);
      body.rows[next].querySelector("button").focus();
    });
    // The rows of the other table are in the page already.
    if (more) {
      update();
    } else {
      count();
    }
    toolbar.hidden = false;
  };

  document.querySelectorAll(".toolbar").forEach(enhance);
})();
