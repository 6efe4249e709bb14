// A terminal in a frame of its own: what a shell says, and what is typed; through a reload, and
// through a lost connection. Nothing runs ahead: the board is told what has been shown.
import { FitAddon, Terminal } from "./xterm.js";

const AT_ONCE = 16384, AHEAD = 65536, AGAIN = 1000; // bytes of a message, bytes not yet taken, milliseconds
const ENDED = 4000, ELSEWHERE = 4001;
const name = new URLSearchParams(location.search).get("name") || "1";
const said = document.getElementById("said");
const dark = matchMedia("(prefers-color-scheme: dark)");
const LIGHT = {
  background: "#ffffff", foreground: "#1b1f26", cursor: "#1b1f26", cursorAccent: "#ffffff", selectionBackground: "#b5d0ff",
  black: "#1b1f26", red: "#b3261e", green: "#14703d", yellow: "#7a4f00", blue: "#1a56db", magenta: "#8a2a9e", cyan: "#0b6b78", white: "#6a7280",
  brightBlack: "#565f6d", brightRed: "#b3261e", brightGreen: "#14703d", brightYellow: "#7a4f00", brightBlue: "#1a56db", brightMagenta: "#8a2a9e",
  brightCyan: "#0b6b78", brightWhite: "#1b1f26",
};
const DARK = { background: "#14171c", foreground: "#e8ebf0", cursor: "#e8ebf0", cursorAccent: "#14171c", selectionBackground: "#34507e" };

const term = new Terminal({ fontFamily: 'ui-monospace, "DejaVu Sans Mono", monospace', fontSize: 15, scrollback: 5000, theme: dark.matches ? DARK : LIGHT,
  screenReaderMode: new URLSearchParams(location.search).has("reader") });
const fit = new FitAddon();
term.loadAddon(fit);
term.open(document.getElementById("screen"));
dark.addEventListener("change", () => { term.options.theme = dark.matches ? DARK : LIGHT; });

let socket = null, shown = 0, sent = 0, taken = 0, typed = [], acked = 0;

function tell(text) {
  said.textContent = text;
  said.hidden = !text;
}

function say(what) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(what));
}

function connect() {
  const place = new URL(`../api/v1/terminals/${encodeURIComponent(name)}/socket`, location.href);
  place.protocol = place.protocol === "https:" ? "wss:" : "ws:";
  place.search = "";
  socket = new WebSocket(place);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { tell(""); size(); };
  socket.onmessage = (event) => (typeof event.data === "string" ? heard(JSON.parse(event.data)) : show(new Uint8Array(event.data)));
  socket.onclose = (event) => closed(event);
}

function heard(told) {
  if (told.from !== undefined) {
    term.reset();
    shown = acked = told.from;
    sent = taken = 0;
    typed = [];
  }
  if (told.taken !== undefined) {
    taken = told.taken;
    flush();
  }
}

function show(data) {
  term.write(data, () => {
    shown += data.length;
    if (shown - acked > AT_ONCE) seen();
    else due ||= setTimeout(seen, 50);
  });
}

let due = 0;
function seen() {
  clearTimeout(due);
  due = 0;
  if (acked === shown) return;
  acked = shown;
  say({ seen: shown });
}

function closed(event) {
  typed = [];
  if (event.code === ELSEWHERE) tell("This terminal is open in another window. Press Enter to have it here.");
  else if (event.code === ENDED) tell("The shell has ended. Press Enter for a new one.");
  else if (event.code === 1013) tell(event.reason || "no terminal can be had now");
  else {
    tell("The board does not answer; trying again.");
    setTimeout(connect, AGAIN);
    return;
  }
  socket = null;
}

const coder = new TextEncoder();
function type(bytes) {
  if (socket === null) {
    if (bytes.includes(13)) connect();
    return;
  }
  for (let from = 0; from < bytes.length; from += AT_ONCE) typed.push(bytes.slice(from, from + AT_ONCE));
  flush();
}

// What is pasted goes as fast as the shell takes it.
function flush() {
  while (typed.length && socket?.readyState === WebSocket.OPEN && sent - taken < AHEAD) {
    const next = typed.shift();
    sent += next.length;
    socket.send(next);
  }
}

function size() {
  fit.fit();
  say({ size: [Math.min(1000, term.cols), Math.min(1000, term.rows)] });
}

term.onData((text) => type(coder.encode(text)));
term.onBinary((text) => type(Uint8Array.from(text, (one) => one.charCodeAt(0))));
term.attachCustomKeyEventHandler((event) => {
  if (event.key === "F6") {
    if (event.type === "keydown") window.parent.document.getElementById("terminal-new")?.focus();
    event.preventDefault();
    return false;
  }
  return !(event.type === "keydown" && event.ctrlKey && !event.shiftKey && event.key === "c" && term.hasSelection());
});
new ResizeObserver(() => size()).observe(document.getElementById("screen"));
window.addEventListener("focus", () => term.focus());
if (document.hasFocus()) term.focus();
window.mxlabTerminal = term; // for whoever reads the screen by program
connect();
