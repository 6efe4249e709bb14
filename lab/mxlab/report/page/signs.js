// The colours of the page as a canvas takes them, and its signs.
"use strict";

function palette() {
  const style = getComputedStyle(document.documentElement);
  const names = ["paper", "ink", "soft", "line", "lane", "ok", "bad", "queue", "fault", "mail", "step", "accent"];
  return Object.fromEntries(names.map((name) => [name, style.getPropertyValue("--" + name).trim()]));
}

function sign(kind) {
  const colours = palette();
  const canvas = make("canvas", { width: 56, height: 32, "aria-hidden": "true" });
  canvas.style.width = "28px";
  const pen = canvas.getContext("2d");
  pen.scale(2, 2);
  pen.lineWidth = 2;
  if (kind in DASHES || kind === "stay") {
    pen.strokeStyle = kind === "ok" ? colours.ok : kind === "stay" ? colours.soft : colours.bad;
    pen.setLineDash(DASHES[kind] || []);
    pen.beginPath();
    pen.moveTo(1, 8);
    pen.lineTo(27, 8);
    pen.stroke();
  } else if (kind === "queue" || kind === "fault") {
    pen.fillStyle = colours[kind];
    pen.globalAlpha = kind === "fault" ? 0.3 : 0.5;
    pen.fillRect(4, 2, 20, 12);
  } else {
    pen.fillStyle = { "message.accepted": colours.ok, "mailbox.delivered": colours.mail }[kind] || colours.bad;
    pen.beginPath();
    Timeline.prototype.point(pen, kind, 14, 8, 4);
    pen.fill();
  }
  return canvas;
}

function questions(pen, places, colour) {
  pen.fillStyle = colour;
  pen.font = "bold 16px system-ui, sans-serif";
  pen.textAlign = "center";
  for (const [x, y] of places) pen.fillText("?", x, y + 6);
  pen.textAlign = "left";
}

function crosses(pen, places) {
  pen.beginPath();
  for (const [x, y] of places) {
    pen.moveTo(x - 4, y - 4);
    pen.lineTo(x + 4, y + 4);
    pen.moveTo(x - 4, y + 4);
    pen.lineTo(x + 4, y - 4);
  }
  pen.stroke();
}
