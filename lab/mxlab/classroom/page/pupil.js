// A student's page: the seat's board, and around it what belongs to the class.
import { make, put } from "./dom.js";

const at = (id) => document.getElementById(id);
const state = { me: null, question: 0, messages: 0, away: false };

async function post(path, body) {
  try {
    const reply = await fetch(path, { method: "POST", body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    const said = await reply.json();
    if (!reply.ok) throw new Error(said.hint ? `${said.error} (${said.hint})` : said.error);
    trouble("");
    show(said);
  } catch (error) {
    trouble(error.message);
  }
}

function trouble(text) {
  at("trouble").textContent = text;
  at("trouble").hidden = !text;
}

function show(me) {
  if (!state.me) at("board").src = `/seat/${me.seat}/`;
  else if (state.away && !me.away) at("board").src = at("board").src;
  state.me = me;
  state.away = me.away;
  at("seat").textContent = `${me.name}: seat ${me.seat}`;
  document.title = `seat ${me.seat} of ${me.name}`;
  at("away").hidden = !me.away;
  at("hand").setAttribute("aria-pressed", String(me.hand));
  at("hand").textContent = me.hand ? "Take my hand down" : "Raise my hand";
  said(me.messages);
  asked(me);
}

function said(messages) {
  const newest = messages.at(-1);
  if (!newest || newest.number === state.messages) return;
  state.messages = newest.number;
  const gone = make("button", { type: "button", onclick: () => { at("messages").hidden = true; } }, "Close");
  put(at("messages"), make("p", { class: "message" }, newest.text, " ", gone));
  at("messages").hidden = false;
}

function asked(me) {
  const question = me.question;
  at("question").hidden = !question || !question.open;
  if (!question || !question.open) return;
  at("given").textContent = me.answer === null ? "" : ` Your answer: ${me.answer}`;
  if (question.number === state.question) return;
  state.question = question.number;
  at("asked").textContent = question.text;
  const choice = (text) => make("button", { type: "button", onclick: () => answer(text) }, text);
  if (question.choices.length) put(at("choices"), ...question.choices.map(choice));
  else put(at("choices"), make("label", {}, "Your answer ", make("input", { name: "answer", maxlength: "200", required: true, autocomplete: "off" })), make("button", { type: "submit" }, "Answer"));
}

function answer(text) {
  post("/api/me/answer", { question: state.question, answer: text });
}

at("answer").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = new FormData(event.target).get("answer");
  if (text && text.trim()) answer(text.trim());
});
at("hand").addEventListener("click", () => post("/api/me/hand", { up: !state.me?.hand }));
at("understood").addEventListener("click", () => {
  at("told").hidden = true;
  try { localStorage.setItem("told", "yes"); } catch { /* shown again, then */ }
});
at("again").addEventListener("click", () => { at("told").hidden = !at("told").hidden; });
try { at("told").hidden = localStorage.getItem("told") === "yes"; } catch { /* shown */ }

const events = new EventSource("/api/me/events");
events.addEventListener("me", (event) => {
  at("state").textContent = "connected";
  at("state").className = "up";
  show(JSON.parse(event.data));
});
events.onerror = () => {
  at("state").textContent = "the class does not answer; trying again";
  at("state").className = "down";
};
