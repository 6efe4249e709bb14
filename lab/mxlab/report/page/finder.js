// What a drawing shows at a point, and in words.
"use strict";

class Finder {
  constructor(drawn) {
    this.drawn = drawn;
  }

  // The lanes in words, for those who do not see the canvas.
  words() {
    const { run } = this.drawn;
    return run.lanes.map((lane, number) => {
      const faults = run.shades
        .filter((shade) => shade.lane === number)
        .map((shade) => {
          const until = shade.end === null ? "the end" : "+" + duration(shade.end);
          return `; ${shade.fault} (${shade.id}) from +${duration(shade.begin)} to ${until}`;
        });
      const queue = lane.depth.length ? `; queue to ${Timeline.deepest(lane)}` : "";
      return `${lane.name}, ${lane.role}${queue}${faults.join("")}`;
    });
  }

  // The row nearest to a point: a sign, or the try whose line passes there; -1 for none.
  hit(x, y) {
    let best = 9;
    let found = -1;
    this.drawn.run.rows.forEach((row, number) => {
      if (row[1] < 0) return;
      const far = Math.hypot(this.drawn.axis.x(row[0]) - x, this.drawn.y(row[1], row[3]) - y);
      if (far < best) [best, found] = [far, number];
    });
    for (const item of this.drawn.run.tries) {
      if (item[2] < 0 || item[6] === "skipped") continue;
      const far = toSegment(x, y, ...this.drawn.segment(item)) + 1;
      if (far < best) [best, found] = [far, item[0]];
    }
    return found;
  }

  shadeAt(x, y) {
    const time = this.drawn.axis.time(x);
    const lane = Math.floor((y - TOP) / LANE);
    return this.drawn.run.shades.find(
      (s) => (s.lane === lane || s.lane < 0) && s.begin <= time && time <= (s.end ?? this.drawn.run.end),
    );
  }

  depthAt(x, y) {
    const lane = this.drawn.run.lanes[Math.floor((y - TOP) / LANE)];
    if (!lane || !lane.depth.length) return null;
    const time = this.drawn.axis.time(x);
    let depth = 0;
    for (const [at, value] of lane.depth) {
      if (at > time) break;
      depth = value;
    }
    return [lane.name, depth];
  }
}

function toSegment(x, y, x1, y1, x2, y2) {
  const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
  const part = length ? Math.min(1, Math.max(0, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
  return Math.hypot(x - x1 - part * (x2 - x1), y - y1 - part * (y2 - y1));
}
