// Lab time <-> pixels. Either evenly, or with idle time squeezed: then half of the width goes to
// time and half to events, so that a day without any takes less room than a busy second.
"use strict";

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400];

class Axis {
  constructor(run) {
    this.end = Math.max(run.end, 0.001);
    const times = [0, ...new Set(run.rows.map((row) => row[0])), this.end].sort((a, b) => a - b);
    this.times = times;
    this.squeezed = Axis.crowded(times, this.end);
    this.from = 0; // the part of the whole that is seen, 0 to 1
    this.to = 1;
    this.left = 0;
    this.width = 1;
  }

  // Whether all that happens would stand in a small part of an even axis.
  static crowded(times, end) {
    const bins = new Set(times.map((time) => Math.floor((time / end) * 100)));
    return times.length > 20 && bins.size < 40;
  }

  place(left, width) {
    this.left = left;
    this.width = Math.max(1, width);
  }

  // The share of the whole at a time.
  share(time) {
    const even = time / this.end;
    if (!this.squeezed) return even;
    const [low, part] = this.find(time);
    return 0.5 * even + (0.5 * (low + part)) / (this.times.length - 1);
  }

  find(time) {
    const times = this.times;
    let low = 0;
    let high = times.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (times[middle] <= time) low = middle;
      else high = middle;
    }
    const gap = times[high] - times[low];
    return [low, gap > 0 ? Math.min(1, Math.max(0, (time - times[low]) / gap)) : 0];
  }

  x(time) {
    return this.left + ((this.share(time) - this.from) / (this.to - this.from)) * this.width;
  }

  // The time at a pixel, by halving: `share` only grows.
  time(x) {
    const wanted = this.from + ((x - this.left) / this.width) * (this.to - this.from);
    let low = 0;
    let high = this.end;
    for (let round = 0; round < 40; round += 1) {
      const middle = (low + high) / 2;
      if (this.share(middle) < wanted) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  zoom(factor, x) {
    const anchor = x === undefined ? 0.5 : (x - this.left) / this.width;
    const at = this.from + anchor * (this.to - this.from);
    const span = Math.min(1, Math.max(1e-6, (this.to - this.from) * factor));
    this.show(at - anchor * span, span);
  }

  move(pixels) {
    this.show(this.from - (pixels / this.width) * (this.to - this.from), this.to - this.from);
  }

  show(from, span) {
    this.from = Math.min(Math.max(0, from), 1 - span);
    this.to = this.from + span;
  }

  // Bring a time into view.
  reveal(time) {
    const share = this.share(time);
    const span = this.to - this.from;
    if (share < this.from || share > this.to) this.show(share - span / 2, span);
  }

  // Round times whose labels have room.
  ticks(room) {
    const first = this.time(this.left);
    const last = this.time(this.left + this.width);
    const wanted = Math.max(2, Math.floor(this.width / room));
    const raw = (last - first) / wanted;
    let step = STEPS.find((size) => size >= raw) || Math.ceil(raw / 86400) * 86400;
    if (raw < 1) {
      const power = 10 ** Math.floor(Math.log10(raw));
      step = [1, 2, 5, 10].find((n) => n * power >= raw) * power;
    }
    const found = [];
    let edge = -Infinity;
    const points = this.squeezed ? this.spread(room) : Axis.steps(first, last, step);
    for (const time of points) {
      const x = this.x(time);
      if (x - edge >= room) {
        found.push([time, x]);
        edge = x;
      }
    }
    return found;
  }

  static steps(first, last, step) {
    const points = [];
    for (let n = Math.ceil(first / step - 1e-9); n * step <= last + 1e-9; n += 1) points.push(n * step);
    return points;
  }

  // One point each `room`, rounded as far as its neighbourhood allows.
  spread(room) {
    const points = [];
    for (let x = this.left; x <= this.left + this.width - room / 2; x += room * 1.02) {
      const time = this.time(x);
      const near = Math.max(this.time(x + room / 3) - time, 0.001);
      const whole = STEPS.filter((size) => size <= near);
      const grain = whole.length ? whole.at(-1) : 10 ** Math.floor(Math.log10(near));
      points.push(Math.round(time / grain) * grain);
    }
    return points.filter((time) => this.x(time) >= this.left - 1);
  }
}
