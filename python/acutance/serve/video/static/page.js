"use strict";

const state = document.getElementById("state");
const numbers = document.getElementById("numbers");
const canvas = document.getElementById("ages");

function say(text, kind) {
  state.textContent = text;
  state.className = kind;
}

function draw(ages, deadline) {
  const pen = canvas.getContext("2d");
  const { width, height } = canvas;
  pen.clearRect(0, 0, width, height);
  const top = Math.max(...ages, deadline || 0, 1) * 1.1;
  const y = (ms) => height - (ms / top) * height;
  if (deadline) {
    pen.strokeStyle = "#7a5a20";
    pen.beginPath();
    pen.moveTo(0, y(deadline));
    pen.lineTo(width, y(deadline));
    pen.stroke();
  }
  pen.strokeStyle = "#7fb4e0";
  pen.beginPath();
  ages.forEach((ms, i) => pen.lineTo(width - ages.length + i, y(ms)));
  pen.stroke();
}

function show(status) {
  const { picture, ages_ms: ages } = status;
  if (status.trouble) say(status.trouble, "bad");
  else if (!picture) say("no picture yet", "");
  else if (picture.base) say(picture.reason ? `base only: ${picture.reason}` : "cubic filter", "base");
  else say(picture.model, "");
  if (!picture) return;
  const age = ages[ages.length - 1];
  numbers.textContent =
    `${picture.cols} × ${picture.rows} · ${age.toFixed(0)} ms old as it left · ` +
    `${status.out} of ${status.in} pictures out, ${status.base} base only, ${status.dropped} dropped`;
  draw(ages, status.deadline_ms);
}

async function look() {
  try {
    show(await (await fetch("status")).json());
  } catch {
    say("the service does not answer", "bad");
  }
  setTimeout(look, 500);
}

look();
