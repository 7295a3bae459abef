// What is saved: a file, a slice as it is seen, or the whole series, with its progress.

import { blob, get, post } from "./api.js";

const $ = (id) => document.getElementById(id);
const KINDS = { dicom: "DICOM", nifti: "NIfTI", png: "PNG", tiff: "TIFF", jpeg: "PNG" };
const ENDS = { dicom: "dcm", nifti: "nii.gz", png: "png", tiff: "tif", jpeg: "png" };
const EVERY = 400; // milliseconds

export class Work {
  constructor(say) {
    this.say = say;
    this.now = null;
    $("save-file").onclick = () => this._save("file");
    $("save-png").onclick = () => this._save("png");
    $("save-all").onclick = () => this._all();
    $("work-stop").onclick = () => this.now && post(`/api/runs/${this.now.run}/stop`);
  }

  // A slice is there to be saved.
  ready(series, run, number, window) {
    this.now = { series, run, number, window };
    for (const id of ["save-file", "save-png", "save-all"]) $(id).disabled = false;
    $("save-file").textContent = `This file as ${KINDS[series.kind]}`;
    $("save-all").textContent = series.slices > 1 ? `Whole series, ${series.slices} slices (ZIP)` : "Whole series (ZIP)";
  }

  clear() {
    this.now = null;
    for (const id of ["save-file", "save-png", "save-all"]) $(id).disabled = true;
    $("work").hidden = true;
  }

  async _save(what) {
    const { series, run, number, window } = this.now;
    const [centre, width, inverted] = window();
    const path = `/api/runs/${run}/slices/${number}/${what}`;
    const end = what === "png" ? "png" : ENDS[series.kind];
    try {
      const data = await blob(what === "png" ? `${path}?centre=${centre}&width=${width}&inverted=${inverted}` : path);
      hand(URL.createObjectURL(data), `acutance-${String(number + 1).padStart(4, "0")}.${end}`);
    } catch (e) {
      this.say(e.message, "bad");
    }
  }

  async _all() {
    const mine = this.now;
    try {
      let run = await post(`/api/runs/${mine.run}/start`);
      $("work").hidden = false;
      while (this.now?.run === mine.run) {
        $("work-bar").max = run.total;
        $("work-bar").value = run.done;
        $("work-text").textContent = run.state === "reading" ? `reading ${run.done} of ${run.total}` : `${run.done} of ${run.total}`;
        if (run.state === "done" || run.state === "failed" || run.state === "stopped") break;
        await new Promise((done) => setTimeout(done, EVERY));
        run = await get(`/api/runs/${mine.run}`);
      }
      if (run.error) this.say(run.error, "bad");
      if (run.state === "stopped") this.say("Stopped; nothing was saved.");
      if (run.archive) hand(`/api/runs/${mine.run}/archive`, "acutance.zip");
    } catch (e) {
      this.say(e.message, "bad");
    }
    $("work").hidden = true;
  }
}

function hand(address, name) {
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  if (address.startsWith("blob:")) setTimeout(() => URL.revokeObjectURL(address), 60000);
}
