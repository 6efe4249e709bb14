// The lab as a picture: who sends, who takes mail in which order, what waits, what is broken, and
// messages that move as it happens.
import { draw, put } from "./dom.js";

const WIDE = 176, HIGH = 92, ACROSS = 300, DOWN = 118, MOST_DOTS = 40;
const still = window.matchMedia("(prefers-reduced-motion: reduce)");

export class Picture {
  constructor(parent, choose) {
    this.parent = parent;
    this.choose = choose;
    this.places = {};
    this.chosen = "";
    this.dots = 0;
  }

  // Columns: senders, relays, backups, primaries; name servers above.
  layout(nodes) {
    const column = (node) => {
      if (node.role === "dns") return -1;
      if (node.role === "client") return 0;
      if (node.role === "relay") return 1;
      return node.role.startsWith("primary") ? 3 : 2;
    };
    const used = [...new Set(nodes.map(column).filter((c) => c >= 0))].sort();
    const filled = {};
    this.places = {};
    const servers = nodes.filter((node) => column(node) < 0);
    servers.forEach((node, n) => { this.places[node.node] = [20 + n * (WIDE + 30), 14]; });
    const top = servers.length ? HIGH + 50 : 14;
    for (const node of nodes) {
      const c = column(node);
      if (c < 0) continue;
      const x = used.indexOf(c);
      filled[x] = (filled[x] || 0) + 1;
      this.places[node.node] = [20 + x * ACROSS, top + (filled[x] - 1) * DOWN + (c === 2 ? DOWN / 2 : 0)];
    }
    const all = Object.values(this.places);
    this.size = [Math.max(...all.map(([x]) => x)) + WIDE + 20, Math.max(...all.map(([, y]) => y)) + HIGH + 20];
  }

  show(nodes, faults, boxes = {}) {
    this.nodes = nodes;
    this.boxes = boxes;
    this.layout(nodes);
    this.svg = draw("svg", { viewBox: `0 0 ${this.size.join(" ")}`, role: "group", "aria-label": "The lab's nodes" });
    this.svg.append(...this.links(nodes), ...nodes.map((node) => this.node(node, faults[node.node] || [])));
    const focus = document.activeElement?.dataset?.node;
    put(this.parent, this.svg);
    if (focus) this.svg.querySelector(`[data-node="${CSS.escape(focus)}"]`)?.focus();
  }

  links(nodes) {
    const takers = nodes.filter((node) => / MX \d/.test(node.role));
    const rank = (node) => Number(node.role.split(" ").pop());
    const best = Math.min(...takers.map(rank));
    const found = [];
    for (const from of nodes) {
      const isSender = from.role === "client" || from.role === "relay";
      if (isSender && from.smarthost) found.push(this.link(from.node, from.smarthost, "", true));
      else if (isSender) for (const to of takers) found.push(this.link(from.node, to.node, rank(to), rank(to) === best));
      else if (from.role.startsWith("backup")) {
        for (const to of takers) if (rank(to) < rank(from)) found.push(this.link(from.node, to.node, "", false));
      }
    }
    return found;
  }

  ends(from, to) {
    const [x1, y1] = this.places[from], [x2, y2] = this.places[to];
    const right = x2 > x1;
    return [x1 + (right ? WIDE : 0), y1 + HIGH / 2, x2 + (right ? 0 : WIDE), y2 + HIGH / 2];
  }

  link(from, to, label, first) {
    if (!(to in this.places)) return undefined;
    const [x1, y1, x2, y2] = this.ends(from, to);
    const line = draw("path", { d: `M${x1} ${y1} L${x2} ${y2}`, class: first ? "link first" : "link" });
    const down = y2 > y1; // its label stands below it, clear of the others
    const where = { x: x1 + (x2 - x1) * (down ? 0.5 : 0.45) - (down ? 6 : 0), y: y1 + (y2 - y1) * (down ? 0.5 : 0.45) + (down ? 16 : -8) };
    const mark = label === "" ? undefined
      : draw("text", { ...where, class: "small", "text-anchor": down ? "end" : "start" }, `MX ${label}`);
    return draw("g", { "aria-hidden": "true" }, line, mark);
  }

  node(node, broken) {
    const [x, y] = this.places[node.node];
    const waits = node.queued ? `, ${node.queued} in its queue` : "";
    const kept = this.boxes[node.node];
    const holds = kept ? `, ${kept} in its mailboxes` : "";
    const harm = broken.length ? `, broken: ${broken.join(", ")}` : "";
    const label = `${node.node}, ${node.role}, ${node.state}${waits}${holds}${harm}`;
    const pick = (event) => {
      if (event.type === "keydown" && event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      this.choose(node.node);
    };
    return draw("g", {
      class: `node ${node.state}${node.node === this.chosen ? " chosen" : ""}`, transform: `translate(${x} ${y})`,
      tabindex: "0", role: "button", "aria-label": label, "data-node": node.node, onclick: pick, onkeydown: pick,
    },
    draw("rect", { class: "box", width: WIDE, height: HIGH, rx: 10 }),
    draw("text", { x: 12, y: 25, class: "name" }, node.node),
    draw("text", { x: 12, y: 44, class: "small" }, node.role + (node.software ? `, ${node.software}` : "")),
    node.state === "running" ? undefined : draw("text", { x: 12, y: 63, class: "state" }, node.state),
    draw("text", { x: 12, y: 82, class: "broken" }, broken.join(", ").slice(0, kept ? 14 : 26)),
    kept ? draw("text", { x: WIDE - 12, y: 82, class: "small kept", "text-anchor": "end" }, `${kept} delivered`) : undefined,
    node.queued === null ? undefined : draw("text", { x: WIDE - 12, y: 31, class: "depth", "text-anchor": "end" }, node.queued),
    node.queued === null ? undefined : draw("text", { x: WIDE - 12, y: 48, class: "small", "text-anchor": "end" }, "in queue"));
  }

  depth(name, count) {
    const text = this.svg?.querySelector(`[data-node="${CSS.escape(name)}"] .depth`);
    if (text) text.textContent = count;
  }

  // A message on its way from one node to another.
  move(from, to, refused) {
    if (!this.svg || !(from in this.places) || !(to in this.places) || still.matches || this.dots >= MOST_DOTS) return;
    const [x1, y1, x2, y2] = this.ends(from, to);
    const dot = draw("circle", { r: 7, class: refused ? "dot refused" : "dot" });
    this.svg.append(dot);
    this.dots += 1;
    const way = refused ? 0.85 : 1;
    const steps = [{ transform: `translate(${x1}px, ${y1}px)` }, { transform: `translate(${x1 + (x2 - x1) * way}px, ${y1 + (y2 - y1) * way}px)` }];
    dot.animate(steps, { duration: 700, easing: "ease-in-out" }).onfinish = () => { dot.remove(); this.dots -= 1; };
  }
}
