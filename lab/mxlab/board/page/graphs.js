// Figures over lab time: lines, each with its name and its last value in words.
import { ask, attempt } from "./ask.js";
import { draw, make, put, whole } from "./dom.js";

const COLOURS = ["#1a56db", "#c2410c", "#14703d", "#7c3aed", "#b3261e", "#0e7490", "#a16207", "#be185d"];
const W = 1000, H = 200, PAD = 40;

export async function graphs(parent) {
  const found = await attempt(() => ask("/figures"));
  if (!found) return;
  const { steps } = found;
  const nodes = Object.keys(found.depth).filter((name) => steps.some((step) => step.depth[name]));
  const codes = Object.keys(found.replies).sort();
  put(parent,
    chart("Messages in queues", steps, nodes.map((name) => [name, (step) => step.depth[name] || 0]), true),
    chart("Attempts and deliveries", steps, [["attempts", (s) => s.attempts], ["delivered", (s) => s.delivered], ["bounced", (s) => s.bounced]], false),
    chart("Replies by code", steps, codes.map((code) => [code, (step) => step.replies[code] || 0]), false));
}

function chart(title, steps, lines, level) {
  if (!steps.length || !lines.length) return make("figure", { class: "chart" }, make("figcaption", {}, `${title}: nothing yet`));
  const first = steps[0].at, span = Math.max(1, steps[steps.length - 1].at - first);
  const most = Math.max(1, ...lines.flatMap(([, of]) => steps.map(of)));
  const x = (step) => PAD + ((step.at - first) / span) * (W - PAD - 10);
  const y = (value) => H - 24 - (value / most) * (H - 44);
  const path = (of) => steps.map((step, n) => {
    const to = `${x(step).toFixed(1)} ${y(of(step)).toFixed(1)}`;
    return n === 0 ? `M${to}` : level ? `H${x(step).toFixed(1)} V${y(of(step)).toFixed(1)}` : `L${to}`;
  }).join(" ");
  const said = lines.map(([name, of]) => `${name} at most ${Math.max(...steps.map(of))}`).join(", ");
  const svg = draw("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${title}: ${said}` },
    draw("path", { class: "axis", d: `M${PAD} 10 V${H - 24} H${W - 10}` }),
    draw("text", { x: 4, y: 22, class: "small" }, most), draw("text", { x: 4, y: H - 24, class: "small" }, 0),
    draw("text", { x: PAD, y: H - 6, class: "small" }, whole(first)),
    draw("text", { x: W - 10, y: H - 6, class: "small", "text-anchor": "end" }, whole(first + span)),
    ...lines.map(([, of], n) => draw("path", { d: path(of), stroke: COLOURS[n % COLOURS.length] })));
  const keys = lines.map(([name], n) => {
    const line = make("i");
    line.style.background = COLOURS[n % COLOURS.length];
    return make("span", {}, line, name);
  });
  return make("figure", { class: "chart" }, make("figcaption", {}, title), svg, make("div", { class: "keys" }, ...keys));
}
