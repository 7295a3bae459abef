// What is dropped or picked: files, and folders to any depth.

import { send } from "./api.js";

const AT_A_TIME = 4;

async function entries(folder) {
  const reader = folder.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) return found;
    found.push(...some);
  }
}

async function walk(entry, found) {
  if (entry.name.startsWith(".")) return;
  if (entry.isFile) found.push(await new Promise((done, failed) => entry.file(done, failed)));
  else for (const inner of await entries(entry)) await walk(inner, found);
}

// The entries of a drop are only there while its event is handled: this must be called at once.
export function dropped(transfer) {
  const roots = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const plain = [...transfer.files];
  return (async () => {
    if (!roots.length) return plain;
    const found = [];
    for (const root of roots) await walk(root, found);
    return found;
  })();
}

// Send files, some at a time; `told(done)` after each. Those that fail are returned with the reason.
export async function sendAll(files, told) {
  const waiting = files.filter((f) => !f.name.startsWith("."));
  const failed = [];
  let done = 0;
  async function worker() {
    for (let file = waiting.shift(); file; file = waiting.shift()) {
      try {
        await send(file);
      } catch (e) {
        failed.push({ name: file.name, reason: e.message });
        if (e.status === 413 || e.status === 0) waiting.length = 0; // no room for others either
      }
      told(++done);
    }
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker));
  return failed;
}
