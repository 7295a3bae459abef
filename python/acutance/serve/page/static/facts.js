// A list of names and values; `bad`: one that calls for attention.

export function facts(list, rows) {
  list.replaceChildren(
    ...rows.flatMap(([name, value, bad]) => {
      const term = document.createElement("dt"), what = document.createElement("dd");
      term.textContent = name;
      what.textContent = value;
      what.classList.toggle("warn", Boolean(bad));
      return [term, what];
    }),
  );
}
