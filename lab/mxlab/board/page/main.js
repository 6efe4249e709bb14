// The page: views, keys, and what happens in the lab brought to all of them.
import { ask, attempt } from "./ask.js";
import { clock, make, put, when } from "./dom.js";
import { Exercise } from "./exercise.js";
import { graphs } from "./graphs.js";
import { Messages } from "./messages.js";
import { NodePanel } from "./node.js";
import { Picture } from "./picture.js";
import { Replay } from "./replay.js";
import { follow, hear, last } from "./stream.js";
import { TerminalView } from "./terminal.js";

const at = (id) => document.getElementById(id);
const VIEWS = ["board", "messages", "graphs", "exercise", "terminal"];
const MOST_EVENTS = 200;
const state = { lab: null, faults: [], boxes: {}, view: "board", pending: false, again: false, addresses: {}, shown: 0, kind: "lab" };

const panel = new NodePanel(at("node-title"), at("node-body"), () => refresh());
const picture = new Picture(at("picture"), choose);
const messages = new Messages(at("messages"));
const exercise = new Exercise(at("exercise"));
const terminal = new TerminalView(at("terminal"), document.querySelector("[data-view=terminal]"));
const replay = new Replay(at("replay"), at("clock"));

function broken(name) {
  return state.faults.filter((one) => one.host === name);
}

function choose(name) {
  const view = state.lab?.nodes.find((node) => node.node === name);
  if (!view) return;
  picture.chosen = name;
  panel.choose(view, broken(name).filter((one) => one.id !== name));
  paint();
}

function paint() {
  const faults = {};
  for (const one of state.faults) if (one.id !== one.host) (faults[one.host] ||= []).push(one.kind);
  picture.show(state.lab.nodes, faults, state.boxes);
}

// Ask for the lab as it is. Whoever asks meanwhile is served by one more question after this one.
async function refresh() {
  state.again = state.pending;
  if (state.pending) return;
  state.pending = true;
  try {
    const [lab, faults, boxes] = await Promise.all([ask("/lab"), ask("/faults").catch(() => state.faults), ask("/mailboxes")]);
    Object.assign(state, { lab, faults, boxes: {} });
    for (const one of boxes) state.boxes[one.node] = (state.boxes[one.node] || 0) + one.messages;
    for (const node of lab.nodes) state.addresses[node.address] = node.node;
    at("lab").textContent = `${lab.lab}: ${lab.domain}`;
    up(true);
    if (!last.at) last.at = lab.lab_time;
    paint();
    if (picture.chosen) {
      const view = lab.nodes.find((node) => node.node === picture.chosen);
      if (view) panel.show(view, broken(view.node).filter((one) => one.id !== view.node));
    }
    suggest();
  } catch {
    up(false);
    setTimeout(refresh, 1000);
  } finally {
    state.pending = false;
    if (state.again) later();
  }
}

let due = 0;
function later() {
  if (due) return;
  due = setTimeout(() => { due = 0; refresh(); }, 400);
}

function up(is) {
  const line = at("state");
  line.className = is ? "up" : "down";
  const text = is ? `${state.kind === "replay" ? "replay" : "up"} (${state.lab.backend})` : "the lab is down; this page goes on when it is up again";
  if (line.textContent !== text) line.textContent = text;
}

function suggest() {
  const to = at("send").elements.to;
  if (!to.value) to.value = `bob@${state.lab.domain}`;
}

function show(view) {
  state.view = view;
  for (const name of VIEWS) at(name).hidden = name !== view;
  for (const button of document.querySelectorAll("[data-view]")) {
    if (button.dataset.view === view) button.setAttribute("aria-current", "page");
    else button.removeAttribute("aria-current");
  }
  if (view === "messages") messages.refresh();
  if (view === "graphs") graphs(at("charts"));
  exercise.show(view === "exercise");
  terminal.show(view === "terminal");
  history.replaceState(null, "", `#${view}`);
}

function projector() {
  const on = document.body.classList.toggle("projector");
  at("projector").setAttribute("aria-pressed", String(on));
}

// What happened before one looked, or before the moment to which a replay was brought.
async function before() {
  const past = await attempt(() => ask(`/events/last?count=${MOST_EVENTS}`));
  if (!past) return;
  state.shown = past.reduce((most, one) => Math.max(most, one.number), 0);
  put(at("events"));
  waiting.unshift(...past.filter((one) => TOLD.includes(one.kind)).map((one) => ({ ...one, number: Infinity })));
  note();
}

const waiting = [];
let frame = 0;
function note(data) {
  if (data) waiting.push(data);
  if (frame) return;
  frame = requestAnimationFrame(() => {
    frame = 0;
    const list = at("events");
    const rows = waiting.splice(0).filter((one) => one.number > state.shown).slice(-MOST_EVENTS).map((one) => make("li", {},
      make("time", {}, when(one.at)), make("span", {}, one.node), make("span", { class: "words" }, one.text || one.kind)));
    list.prepend(...rows.reverse());
    while (list.children.length > MOST_EVENTS) list.lastChild.remove();
    if (state.kind === "lab" && last.at) at("clock").textContent = clock(last.at);
  });
}

const TOLD = ["message.accepted", "relay.outcome", "queue.deferred", "mailbox.delivered", "bounce.sent", "smtp.refused", "fault.struck",
  "node.ready", "node.stopping", "node.config-changed", "queue.flushed", "queue.edited", "destination.dead", "dns.zone", "node.erased",
  "lab.step", "lab.fault", "lab.healed"];

hear([...TOLD, "queue.removed", "relay.tried"], (kind, data, number) => {
  last.heard = performance.now();
  if (TOLD.includes(kind)) note({ ...data, number });
  if (kind === "relay.tried") {
    const to = state.addresses[data.data.address] || data.data.host.split(".")[0];
    if (to) picture.move(data.node, to, data.data.stage !== "done");
    return;
  }
  later();
  exercise.soon();
  if (state.view === "messages" && kind === "mailbox.delivered") messages.later();
});
hear(["lab.up", "lab.down", "gap", "state"], () => { before(); refresh(); exercise.soon(); });
hear(["replay.state", "replay.moved"], (kind, data) => {
  if (!replay.view) return;
  replay.hear(data);
  if (kind !== "replay.moved") return;
  before();
  refresh();
  if (state.view === "messages") messages.refresh();
  if (state.view === "graphs") graphs(at("charts"));
});

at("send").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = Object.fromEntries(new FormData(event.target));
  const body = { to: given.to.split(/[,\s]+/).filter(Boolean), subject: given.subject, count: Number(given.count) };
  if (given.sender) body.sender = given.sender;
  const sent = await attempt(() => ask("/send", body));
  if (sent) event.target.querySelector("output").textContent = `sent ${sent.messages.length}`;
});

for (const button of document.querySelectorAll("[data-view]")) button.addEventListener("click", () => show(button.dataset.view));
at("projector").addEventListener("click", projector);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  const view = VIEWS[Number(event.key) - 1];
  if (view && !document.querySelector(`[data-view=${view}]`).hidden) {
    if (view === "terminal") event.preventDefault();
    show(view);
  } else if (event.key === "0") projector();
  else if (state.kind === "replay") ({ p: () => replay.toggle(), ",": () => replay.by(-0.02), ".": () => replay.by(0.02) })[event.key]?.();
  else if (state.view === "board" && picture.chosen) {
    const paused = panel.view?.state === "paused";
    const acts = { k: () => panel.act("kill"), s: () => panel.act("start"), p: () => panel.act(paused ? "resume" : "pause"), f: () => panel.flush(), h: () => panel.heal() };
    acts[event.key]?.();
  }
});

setInterval(() => { if (state.view === "graphs") graphs(at("charts")); }, 2000);
if (new URLSearchParams(location.search).has("projector")) projector();
show(VIEWS.includes(location.hash.slice(1)) ? location.hash.slice(1) : "board");

async function begin() {
  const board = await attempt(() => ask("/board"));
  if (board?.kind !== "replay") return;
  state.kind = "replay";
  panel.readonly = true;
  document.body.classList.add("replay");
  for (const view of ["exercise", "terminal"]) document.querySelector(`[data-view=${view}]`).hidden = true;
  if (["exercise", "terminal"].includes(state.view)) show("board");
  await replay.begin();
}

await begin();
refresh();
follow(() => refresh(), () => { at("state").textContent = "the board does not answer; trying again"; at("state").className = "down"; });
