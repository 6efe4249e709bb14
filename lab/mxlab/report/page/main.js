// Puts the page together and answers mouse and keyboard. `#run=0&message=3&try=1` in the address opens
// that run with that message (by its number) and the conversation of its try of that number.
"use strict";

window.addEventListener("error", (event) => {
  document.documentElement.dataset.error = event.message;
});

class Page {
  constructor() {
    this.canvas = byId("canvas");
    this.tip = byId("tip");
    this.drag = null;
    this.frame = 0;
    this.listen();
    this.switcher();
  }

  open(number) {
    const run = RUNS[number];
    this.run = run.stories ? run : prepare(run);
    this.timeline = new Timeline(this.canvas, this.run);
    this.finder = new Finder(this.timeline);
    this.ledger = ledgerPages(this.run, (message) => this.choose(message));
    this.log = logPages(this.run, (row) => this.pick(row));
    showHead(this.run);
    showFindings(this.run);
    showSteps(this.run, (time) => this.reveal(time));
    this.choices();
    this.filterLedger();
    this.filterLog();
    byId("squeeze").checked = this.timeline.axis.squeezed;
    byId("detail").hidden = true;
    for (const button of byId("runs").children) {
      button.setAttribute("aria-current", String(Number(button.value) === number));
    }
    this.canvas.replaceChildren(make("ul", {}, ...this.finder.words().map((text) => make("li", {}, text))));
    this.timeline.draw();
    this.legend();
  }

  switcher() {
    const nav = byId("runs");
    nav.hidden = RUNS.length < 2;
    RUNS.forEach((run, number) => {
      const text = `${run.scenario}: ${WORDS[run.verdict]}`;
      nav.append(make("button", { type: "button", value: number, click: () => this.open(number) }, text));
    });
  }

  choices() {
    const fill = (id, names) =>
      byId(id).replaceChildren(make("option", { value: "" }, "all"), ...names.map((name) => make("option", { value: name }, name)));
    fill("ledger-state", [...new Set(this.run.ledger.map((item) => item.state))].sort());
    fill("log-node", [...this.run.lanes.map((lane) => lane.name), "lab"]);
    fill("log-kind", [...new Set(this.run.rows.map((row) => row[2]))].sort());
  }

  filterLedger() {
    const state = byId("ledger-state").value;
    const words = byId("ledger-find").value.toLowerCase();
    const fits = (item) =>
      (!state || item.state === state) &&
      `${this.run.messages[item.message]} ${item.recipient} ${item.notes.join(" ")}`.toLowerCase().includes(words);
    this.ledger.show(this.run.ledger.filter(fits));
  }

  filterLog() {
    const [node, kind, words] = ["log-node", "log-kind", "log-find"].map((id) => byId(id).value);
    const lane = node === "lab" ? -1 : this.run.lanes.findIndex((item) => item.name === node);
    const found = [];
    this.run.rows.forEach((row, number) => {
      if ((node && row[1] !== lane) || (kind && row[2] !== kind)) return;
      const message = row[3] < 0 ? "" : this.run.messages[row[3]];
      if (`${row[4]} ${message}`.toLowerCase().includes(words.toLowerCase())) found.push(number);
    });
    this.log.show(found);
  }

  // Show the story of the event's message, and the conversation where the event is a try.
  pick(row) {
    if (row < 0) {
      this.release();
      return;
    }
    const message = this.run.rows[row][3];
    this.timeline.message = message;
    this.timeline.row = row;
    this.timeline.axis.reveal(this.run.rows[row][0]);
    byId("detail").hidden = false;
    showStory(this.run, message, row, (other) => this.pick(other));
    showDialog(this.run, row);
    byId("spoken").textContent = this.told(row);
    this.redraw();
  }

  // One event in a line.
  told(row) {
    const [at, lane, , , text] = this.run.rows[row];
    return `+${duration(at)} ${lane < 0 ? "lab" : this.run.lanes[lane].name} ${text}`;
  }

  choose(message) {
    const story = this.run.stories[message];
    if (!story || !story.length) return;
    const tries = this.run.triesOf[message];
    const told = tries.find((number) => this.run.tries[number][8].length);
    this.pick(told === undefined ? story[0][0] : this.run.tries[told][0]);
    byId("timeline").scrollIntoView();
  }

  release() {
    this.timeline.message = this.timeline.row = -1;
    byId("detail").hidden = true;
    this.redraw();
  }

  reveal(time) {
    this.timeline.axis.reveal(time);
    byId("timeline").scrollIntoView();
    this.redraw();
  }

  redraw() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.timeline.draw();
    });
  }

  zoom(factor, x) {
    this.timeline.axis.zoom(factor, x);
    this.redraw();
  }

  listen() {
    const { canvas } = this;
    const on = (id, kind, act) => byId(id).addEventListener(kind, act);
    on("zoom-in", "click", () => this.zoom(0.5));
    on("zoom-out", "click", () => this.zoom(2));
    on("zoom-all", "click", () => this.zoom(1e9));
    on("squeeze", "change", (event) => {
      this.timeline.axis.squeezed = event.target.checked;
      this.zoom(1e9);
    });
    on("ledger-state", "change", () => this.filterLedger());
    on("ledger-find", "input", () => this.filterLedger());
    for (const id of ["log-node", "log-kind"]) on(id, "change", () => this.filterLog());
    on("log-find", "input", () => this.filterLog());
    canvas.addEventListener("pointerdown", (event) => this.grab(event));
    canvas.addEventListener("pointermove", (event) => this.hover(event));
    canvas.addEventListener("pointerup", (event) => this.drop(event));
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    canvas.addEventListener("keydown", (event) => this.key(event));
    window.addEventListener("resize", () => this.redraw());
    window.addEventListener("hashchange", () => this.follow());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.repaint());
    window.addEventListener("beforeprint", () => this.print(true));
    window.addEventListener("afterprint", () => this.print(false));
  }

  print(begins) {
    if (begins) document.documentElement.dataset.print = "";
    else delete document.documentElement.dataset.print;
    this.repaint();
  }

  repaint() {
    this.timeline.draw();
    this.legend();
  }

  grab(event) {
    this.drag = { x: event.offsetX, moved: false };
    this.canvas.setPointerCapture(event.pointerId);
  }

  drop(event) {
    if (this.drag && !this.drag.moved) this.pick(this.finder.hit(event.offsetX, event.offsetY));
    this.drag = null;
  }

  hover(event) {
    const { offsetX: x, offsetY: y } = event;
    if (this.drag) {
      if (Math.abs(x - this.drag.x) > 3 || this.drag.moved) {
        this.drag.moved = true;
        this.timeline.axis.move(x - this.drag.x);
        this.drag.x = x;
        this.redraw();
      }
      return;
    }
    const text = x < GUTTER ? "" : this.about(x, y);
    this.tip.hidden = !text;
    this.tip.textContent = text;
    const [width] = this.timeline.size;
    this.tip.style.left = `${Math.min(x + 14, width - Math.min(420, width / 2))}px`;
    this.tip.style.top = `${y + 14}px`;
  }

  about(x, y) {
    const row = this.finder.hit(x, y);
    if (row >= 0) return this.told(row);
    const parts = [];
    const shade = this.finder.shadeAt(x, y);
    if (shade) parts.push(`fault ${shade.id}: ${shade.fault} ${shade.node}`);
    const depth = this.finder.depthAt(x, y);
    if (depth) parts.push(`${depth[1]} in the queue of ${depth[0]}`);
    return parts.join("; ");
  }

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    this.zoom(event.deltaY > 0 ? 1.25 : 0.8, event.offsetX);
  }

  key(event) {
    const acts = {
      ArrowRight: () => this.step(1),
      ArrowLeft: () => this.step(-1),
      ArrowDown: () => this.next(1),
      ArrowUp: () => this.next(-1),
      "+": () => this.zoom(0.5),
      "-": () => this.zoom(2),
      0: () => this.zoom(1e9),
      Escape: () => this.release(),
    };
    const act = acts[event.key];
    if (!act || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    act();
  }

  // The next event: of the chosen message, or of all.
  step(by) {
    const { message, row } = this.timeline;
    const rows = message < 0 ? null : this.run.stories[message].map((entry) => entry[0]);
    const count = rows ? rows.length : this.run.rows.length;
    if (!count) return;
    const now = rows ? rows.indexOf(row) : row;
    const next = Math.min(count - 1, Math.max(0, now + by));
    const wanted = rows ? rows[next] : next;
    const keep = this.timeline.message;
    this.pick(wanted);
    if (keep >= 0) this.keep(keep, wanted);
  }

  // Stay with a message although the event (a notification's) belongs to another.
  keep(message, row) {
    this.timeline.message = message;
    showStory(this.run, message, row, (other) => this.pick(other));
  }

  next(by) {
    const count = this.run.messages.length;
    if (!count) return;
    const message = (Math.max(this.timeline.message, by > 0 ? -1 : 0) + by + count) % count;
    const story = this.run.stories[message];
    if (story.length) this.pick(story[0][0]);
  }

  legend() {
    const signs = [
      ["ok", "handed on"],
      ["failed", "tried in vain"],
      ["unknown", "no last word"],
      ["stay", "waits in a queue"],
      ["message.accepted", "taken (250)"],
      ["mailbox.delivered", "in a mailbox"],
      ["bounce.sent", "notification"],
      ["queue", "queue depth"],
      ["fault", "fault in effect"],
    ];
    byId("legend").replaceChildren(...signs.map(([kind, text]) => make("li", {}, sign(kind), text)));
  }

  // Open what the address asks for.
  follow() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    if (wanted.has("run") && RUNS[Number(wanted.get("run"))]) this.open(Number(wanted.get("run")));
    const tries = this.run.triesOf[Number(wanted.get("message") ?? -1)];
    if (!tries) return;
    const item = this.run.tries[tries[Number(wanted.get("try")) - 1]];
    if (item) this.pick(item[0]);
    else this.choose(Number(wanted.get("message")));
  }
}

const page = new Page();
if (RUNS.length) {
  page.open(0);
  page.follow();
}
document.documentElement.dataset.ready = String(Math.round(performance.now()));
