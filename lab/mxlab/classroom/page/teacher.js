// The instructor's view: a tile a seat, as it happens.
import { make, put } from "./dom.js";

const at = (id) => document.getElementById(id);
const SLOW = 4 * 60, STUCK = 8 * 60;
const state = { view: null, ahead: 0 };
const tiles = new Map();

async function post(path, body, method = "POST") {
  try {
    const reply = await fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body), headers: { "content-type": "application/json" } });
    const said = await reply.json();
    if (!reply.ok) throw new Error(said.hint ? `${said.error} (${said.hint})` : said.error);
    trouble("");
    return said;
  } catch (error) {
    trouble(error.message);
    return null;
  }
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

const now = () => Date.now() / 1000 + state.ahead;
const still = (tile) => (tile.moved === null ? null : Math.max(0, now() - tile.moved));
const minutes = (seconds) => (seconds < 60 ? "under a minute" : `${Math.floor(seconds / 60)} min`);

function colour(tile) {
  const seconds = still(tile);
  if (seconds === null || !tile.standing.task) return "";
  return seconds < SLOW ? "good" : seconds < STUCK ? "slow" : "stuck";
}

function pace(tile) {
  const seconds = still(tile);
  if (tile.away) return "does not answer";
  if (!tile.registered && !tile.joined) return "not here yet";
  if (seconds === null) return "nothing begun";
  if (!tile.standing.task) return "all tasks done";
  return colour(tile) === "good" ? `got on ${minutes(seconds)} ago` : `no progress for ${minutes(seconds)}`;
}

function count(number, word, many = word + "s") {
  return `${number} ${number === 1 ? word : many}`;
}

// A tile is changed in place: the focus stays where it is.
function fill(tile) {
  const own = tiles.get(tile.seat) || born(tile.seat);
  const { standing } = tile;
  own.box.className = ["tile", colour(tile), tile.hand === null ? "" : "hand"].join(" ");
  text(own.title, standing.exercise ? standing.title : "");
  text(own.task, standing.task ? `Task ${standing.over + 1} of ${standing.tasks}: ${standing.task}` : standing.exercise ? "exercise done" : "");
  own.task.title = standing.text;
  text(own.counts, standing.exercise ? [count(standing.tries, "try", "tries"), count(standing.hints, "hint"), standing.shown ? "solution seen" : "",
    tile.on_task === null ? "" : `${minutes(tile.on_task)} on the task`].filter(Boolean).join(", ") : "");
  text(own.pace, pace(tile));
  text(own.hand, tile.hand === null ? "" : `hand up, ${minutes(now() - tile.hand)}`);
  own.lower.hidden = tile.hand === null;
  own.skip.hidden = own.reset.hidden = !standing.exercise;
  own.skip.onclick = () => confirm(`Pass task ${standing.task} of seat ${tile.seat} over?`) && post(`/api/class/seats/${tile.seat}/skip`, { task: standing.task });
  return own.box;
}

function text(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

function born(seat) {
  const line = (name) => make("p", { class: name });
  const button = (label, act) => make("button", { type: "button", onclick: act, "aria-label": `${label}, seat ${seat}` }, label);
  const own = { title: line("label"), task: line("task"), counts: line("label"), pace: line("pace"), hand: make("span", { class: "hand-up" }) };
  own.lower = button("Hand down", () => post(`/api/class/seats/${seat}/hand`, {}));
  own.skip = button("Skip task", null);
  own.reset = button("Begin anew", () => confirm(`Seat ${seat}: begin its exercise anew?`) && post(`/api/class/seats/${seat}/reset`, {}));
  const look = make("a", { href: `/seat/${seat}/`, target: "_blank", rel: "noopener" }, `Seat ${seat}`);
  own.box = make("article", { "aria-label": `Seat ${seat}` }, make("h3", {}, look, own.hand), own.title, own.task, own.counts, own.pace,
    make("div", { class: "acts teaching" }, own.lower, own.skip, own.reset));
  tiles.set(seat, own);
  return own;
}

function need(tile) {
  return (tile.hand === null ? 0 : 1e9 + now() - tile.hand) + (tile.standing.task ? still(tile) || 0 : 0);
}

function paint() {
  const { view } = state;
  if (!view) return;
  const order = [...view.tiles];
  if (at("order").value === "need") order.sort((a, b) => need(b) - need(a));
  const boxes = order.map(fill);
  if (boxes.some((box, place) => at("tiles").children[place] !== box) || at("tiles").children.length !== boxes.length) {
    const focus = document.activeElement;
    put(at("tiles"), ...boxes);
    if (at("tiles").contains(focus)) focus.focus();
  }
  text(at("name"), `${view.name}: ${view.track}`);
  const stuck = view.tiles.filter((tile) => colour(tile) === "stuck").length;
  const here = view.tiles.filter((tile) => tile.joined).length;
  text(at("sum"), `${here} of ${count(view.tiles.length, "seat")} taken, ${stuck} stuck`);
  const hands = view.tiles.filter((tile) => tile.hand !== null).sort((a, b) => a.hand - b.hand);
  text(at("hands"), hands.length ? `Hands up: ${hands.map((tile) => `seat ${tile.seat}`).join(", ")}` : "");
  question(view);
}

function question(view) {
  at("question").hidden = !view.question;
  if (!view.question) return;
  text(at("asked"), view.question.text);
  text(at("answers"), `${view.answers} of ${view.tiles.length} answered${view.question.open ? "" : "; no more answers are taken"}`);
  at("close").hidden = !view.question.open;
  put(at("shares"), ...view.shares.flatMap((one) => [make("span", { class: "words" }, one.answer),
    make("meter", { min: 0, max: Math.max(1, view.answers), value: one.count, "aria-label": one.answer }), make("span", { class: "num" }, one.count)]));
}

function projector() {
  const on = document.body.classList.toggle("projector");
  at("projector").setAttribute("aria-pressed", String(on));
}

function form(id, path, body) {
  at(id).addEventListener("submit", async (event) => {
    event.preventDefault();
    const said = await post(path, body(Object.fromEntries(new FormData(event.target))));
    if (said) event.target.reset();
    event.target.querySelector("output").textContent = said ? "sent" : "";
  });
}

form("say", "/api/class/message", (given) => ({ text: given.text, seat: Number(given.seat || 0) }));
form("ask", "/api/class/question", (given) => ({ text: given.text, choices: given.choices.split(",").map((one) => one.trim()).filter(Boolean) }));
at("close").addEventListener("click", () => post("/api/class/question", undefined, "DELETE"));
at("projector").addEventListener("click", projector);
at("order").addEventListener("change", paint);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "0") projector();
  if (event.key === "n") { at("order").value = at("order").value === "need" ? "seat" : "need"; paint(); }
});

const events = new EventSource("/api/class/events");
events.addEventListener("class", (event) => {
  state.view = JSON.parse(event.data);
  state.ahead = state.view.now - Date.now() / 1000;
  at("state").textContent = "live";
  at("state").className = "up";
  paint();
});
events.onerror = () => {
  at("state").textContent = "the class does not answer; trying again";
  at("state").className = "down";
};
setInterval(paint, 5000);
