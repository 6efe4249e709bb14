// Draws a run on a canvas: a lane for each node, faults as shades, queues as areas, each message's
// way as lines. Ten thousand events are a few strokes: what looks alike is one path.
"use strict";

const GUTTER = 118;
const TOP = 46;
const LANE = 96;
const SLOTS = 16;
const CROWD = 120; // messages, above which each is drawn finer
const DASHES = { ok: [], refused: [7, 4], failed: [7, 4], unknown: [2, 4] };

class Timeline {
  constructor(canvas, run) {
    this.canvas = canvas;
    this.run = run;
    this.axis = new Axis(run);
    this.message = -1;
    this.row = -1;
    this.deepest = Math.max(1, ...run.lanes.map((lane) => Timeline.deepest(lane)));
  }

  static deepest(lane) {
    return lane.depth.reduce((most, point) => Math.max(most, point[1]), 0);
  }

  top(lane) {
    return TOP + lane * LANE;
  }

  // Where a message has its line within a lane; what belongs to no message lies below, or amid an
  // idle lane.
  y(lane, message) {
    if (message < 0) return this.top(lane) + (this.run.lanes[lane].depth.length ? LANE - 12 : LANE / 2);
    return this.top(lane) + 12 + ((message % SLOTS) / SLOTS) * (LANE * 0.52);
  }

  draw() {
    const { canvas, run, axis } = this;
    const width = canvas.parentElement.clientWidth;
    const height = TOP + run.lanes.length * LANE + 8;
    const ratio = Math.min(3, window.devicePixelRatio || 1);
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    axis.place(GUTTER + 12, width - GUTTER - 30);
    const pen = canvas.getContext("2d");
    pen.scale(ratio, ratio);
    this.colours = palette();
    this.size = [width, height];
    this.backdrop(pen);
    pen.save();
    pen.beginPath();
    pen.rect(GUTTER, 0, width - GUTTER, height);
    pen.clip();
    this.shades(pen);
    this.queues(pen);
    this.steps(pen);
    const [thin, clear] = run.messages.length > CROWD ? [0.6, 0.6] : [1.25, 1];
    if (this.message < 0) this.ways(pen, () => true, clear, thin);
    else {
      this.ways(pen, (message) => message !== this.message, 0.13, thin);
      this.ways(pen, (message) => message === this.message, 1, 2.75);
    }
    this.faultNames(pen);
    this.cursor(pen);
    pen.restore();
    this.names(pen);
  }

  backdrop(pen) {
    const { colours, axis } = this;
    const [width, height] = this.size;
    pen.fillStyle = colours.paper;
    pen.fillRect(0, 0, width, height);
    this.run.lanes.forEach((_, lane) => {
      pen.fillStyle = lane % 2 ? colours.paper : colours.lane;
      pen.fillRect(0, this.top(lane), width, LANE);
    });
    pen.font = "12px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.strokeStyle = colours.line;
    pen.lineWidth = 1;
    for (const [time, x] of axis.ticks(96)) {
      pen.beginPath();
      pen.moveTo(x, TOP - 6);
      pen.lineTo(x, height);
      pen.stroke();
      pen.fillStyle = colours.soft;
      pen.fillText("+" + duration(time), Math.max(x, GUTTER + 14), 14);
    }
    pen.textAlign = "left";
    pen.fillText("lab time", 10, 14);
  }

  shades(pen) {
    const { colours, axis, run } = this;
    for (const shade of run.shades) {
      const x = axis.x(shade.begin);
      const end = axis.x(shade.end === null ? run.end : shade.end);
      const wide = Math.max(2, end - x);
      const [y, tall] = shade.lane < 0 ? [TOP, run.lanes.length * LANE] : [this.top(shade.lane), LANE];
      pen.save();
      pen.beginPath();
      pen.rect(x, y, wide, tall);
      pen.clip();
      pen.fillStyle = colours.fault;
      pen.globalAlpha = 0.16;
      pen.fillRect(x, y, wide, tall);
      pen.globalAlpha = 0.22;
      pen.strokeStyle = colours.fault;
      pen.beginPath();
      const left = Math.max(x, GUTTER) - tall;
      for (let at = left - (left % 14); at < Math.min(end, this.size[0]); at += 14) {
        pen.moveTo(at, y + tall);
        pen.lineTo(at + tall, y);
      }
      pen.stroke();
      pen.globalAlpha = 0.6;
      pen.strokeRect(x, y + 0.5, wide, tall - 1);
      pen.restore();
    }
  }

  // Over the lines, with a rim of paper. Faults that overlap stand above each other.
  faultNames(pen) {
    const { colours, axis, run } = this;
    const taken = [];
    pen.font = "bold 12px system-ui, sans-serif";
    pen.lineWidth = 3;
    pen.lineJoin = "round";
    for (const shade of run.shades) {
      const text = `${shade.fault} (${shade.id})`;
      const x = Math.max(axis.x(shade.begin), GUTTER) + 6;
      const end = axis.x(shade.end === null ? run.end : shade.end);
      const lane = Math.max(shade.lane, 0);
      if (end < GUTTER || x > this.size[0]) continue;
      const right = x + pen.measureText(text).width + 4;
      const clash = (line) => taken.some((t) => t[0] === lane && t[1] === line && x < t[3] && right > t[2]);
      let line = 0;
      while (line < 5 && clash(line)) line += 1;
      taken.push([lane, line, x, right]);
      const y = this.top(lane) + LANE - 8 - 15 * line;
      pen.strokeStyle = colours.paper;
      pen.strokeText(text, x, y);
      pen.fillStyle = colours.fault;
      pen.fillText(text, x, y);
    }
    pen.lineWidth = 1;
  }

  queues(pen) {
    const { colours, axis, run } = this;
    pen.fillStyle = colours.queue;
    run.lanes.forEach((lane, number) => {
      if (!lane.depth.length) return;
      const floor = this.top(number) + LANE - 1;
      const scale = (LANE * 0.5) / this.deepest;
      pen.globalAlpha = 0.5;
      pen.beginPath();
      pen.moveTo(axis.x(0), floor);
      let level = floor;
      for (const [time, depth] of lane.depth) {
        const x = axis.x(time);
        pen.lineTo(x, level);
        level = floor - depth * scale;
        pen.lineTo(x, level);
      }
      pen.lineTo(axis.x(run.end), level);
      pen.lineTo(axis.x(run.end), floor);
      pen.fill();
      pen.globalAlpha = 1;
    });
  }

  steps(pen) {
    const { colours, axis, run } = this;
    pen.font = "bold 11px system-ui, sans-serif";
    pen.textAlign = "center";
    pen.strokeStyle = colours.step;
    pen.setLineDash([2, 4]);
    let edge = -Infinity;
    for (const step of run.steps) {
      const x = axis.x(step.at);
      pen.beginPath();
      pen.moveTo(x, TOP - 6);
      pen.lineTo(x, this.size[1]);
      pen.stroke();
      if (x - edge < 20) continue;
      edge = x;
      pen.fillStyle = colours.step;
      pen.beginPath();
      pen.arc(x, TOP - 16, 9, 0, 7);
      pen.fill();
      pen.fillStyle = colours.paper;
      pen.fillText(step.index, x, TOP - 12);
    }
    pen.setLineDash([]);
    pen.textAlign = "left";
  }

  ways(pen, wanted, alpha, weight) {
    const { colours, axis, run } = this;
    pen.globalAlpha = alpha;
    pen.lineWidth = weight;
    pen.strokeStyle = colours.soft;
    pen.beginPath();
    for (const [message, lane, begin, end] of run.stays) {
      if (lane < 0 || !wanted(message) || !this.visible(begin, end)) continue;
      const y = this.y(lane, message);
      pen.moveTo(axis.x(begin), y);
      pen.lineTo(axis.x(end), y);
    }
    pen.stroke();
    for (const fate of Object.keys(DASHES)) this.tries(pen, wanted, fate);
    this.points(pen, wanted, weight);
    pen.globalAlpha = 1;
    pen.lineWidth = 1;
  }

  tries(pen, wanted, fate) {
    pen.strokeStyle = fate === "ok" ? this.colours.ok : this.colours.bad;
    pen.setLineDash(DASHES[fate]);
    pen.beginPath();
    const ends = [];
    for (const item of this.run.tries) {
      if (item[6] !== fate || item[2] < 0 || !wanted(item[1]) || !this.visible(item[4], item[5])) continue;
      const [x1, y1, x2, y2] = this.segment(item);
      pen.moveTo(x1, y1);
      pen.lineTo(x2, y2);
      if (fate !== "ok") ends.push([x2, y2]);
    }
    pen.stroke();
    pen.setLineDash([]);
    if (fate === "unknown") questions(pen, ends, this.colours.bad);
    else crosses(pen, ends);
  }

  segment([, message, lane, to, begin, end]) {
    const y = this.y(lane, message);
    const target = to < 0 ? y - LANE / 4 : this.y(to, message);
    return [this.axis.x(begin), y, this.axis.x(end), target];
  }

  points(pen, wanted, weight) {
    const size = weight > 2 ? 5 : weight > 1 ? 3 : 2;
    const styles = { "message.accepted": "ok", "mailbox.delivered": "mail", "bounce.sent": "bad", other: "step" };
    for (const [kind, colour] of Object.entries(styles)) {
      pen.fillStyle = this.colours[colour];
      pen.beginPath();
      for (const row of this.run.rows) {
        const group = row[2] in styles ? row[2] : "other";
        if (group !== kind || row[1] < 0 || !wanted(row[3]) || !this.visible(row[0], row[0])) continue;
        this.point(pen, kind, this.axis.x(row[0]), this.y(row[1], row[3]), size);
      }
      pen.fill();
    }
  }

  point(pen, kind, x, y, size) {
    if (kind === "mailbox.delivered") pen.rect(x - size, y - size, 2 * size, 2 * size);
    else if (kind === "bounce.sent") {
      pen.moveTo(x, y - size - 2);
      pen.lineTo(x + size + 1, y + size);
      pen.lineTo(x - size - 1, y + size);
      pen.closePath();
    } else {
      const radius = kind === "other" ? size * 0.7 : size;
      pen.moveTo(x + radius, y);
      pen.arc(x, y, radius, 0, 7);
    }
  }

  cursor(pen) {
    if (this.row < 0) return;
    const [at, lane, , message] = this.run.rows[this.row];
    if (lane < 0) return;
    pen.strokeStyle = this.colours.accent;
    pen.lineWidth = 2.5;
    pen.beginPath();
    pen.arc(this.axis.x(at), this.y(lane, message), 10, 0, 7);
    pen.stroke();
  }

  names(pen) {
    const { colours, run } = this;
    pen.fillStyle = colours.paper;
    pen.globalAlpha = 1;
    run.lanes.forEach((lane, number) => {
      const y = this.top(number);
      pen.fillStyle = number % 2 ? colours.paper : colours.lane;
      pen.fillRect(0, y, GUTTER - 4, LANE);
      pen.fillStyle = colours.ink;
      pen.font = "bold 16px system-ui, sans-serif";
      pen.fillText(lane.name, 10, y + 28);
      pen.fillStyle = colours.soft;
      pen.font = "12px system-ui, sans-serif";
      pen.fillText(lane.role === lane.name ? "" : lane.role, 10, y + 46);
      if (lane.depth.length) pen.fillText(`queue to ${Timeline.deepest(lane)}`, 10, y + LANE - 10);
    });
  }

  visible(begin, end) {
    const { axis } = this;
    return axis.share(end) >= axis.from - 0.01 && axis.share(begin) <= axis.to + 0.01;
  }
}
