// Questions to the page's own server; there is no other one.

export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, { body, json, headers, signal } = {}) {
  let answer;
  const said = { "x-acutance": "1", ...(json ? { "content-type": "application/json" } : {}), ...headers };
  try {
    answer = await fetch(path, { method, headers: said, body: json ? JSON.stringify(json) : body, signal, cache: "no-store" });
  } catch (e) {
    if (e.name === "AbortError") throw e;
    throw new Failed(0, "the page's server does not answer; is it still running?");
  }
  if (answer.ok) return answer;
  const why = await answer.json().catch(() => ({}));
  throw new Failed(answer.status, why.error || `status ${answer.status}`);
}

export const get = async (path, signal) => (await ask("GET", path, { signal })).json();
export const raw = async (path, signal) => (await ask("GET", path, { signal })).arrayBuffer();
export const blob = async (path) => (await ask("GET", path)).blob();
export const post = async (path, json = {}) => {
  const answer = await ask("POST", path, { json });
  return answer.status === 204 ? null : answer.json();
};
export const remove = (path) => ask("DELETE", path);
export const send = (file) =>
  ask("POST", "/api/files", { body: file, headers: { "x-file-name": encodeURIComponent(file.name) } });
