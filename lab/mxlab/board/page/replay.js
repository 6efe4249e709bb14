// A run that is over: played, paused, faster or slower, from any moment of it.
import { ask, attempt } from "./ask.js";
import { lasted, make, put, since, whole } from "./dom.js";

const SPEEDS = [[1, "as it was"], [60, "a minute"], [600, "10 minutes"], [3600, "an hour"], [21600, "6 hours"], [86400, "a day"]];
const WHOLE = [10, 30, 60, 300];
const OFTEN = 150; // milliseconds between two seeks while the slider is dragged

export class Replay {
  constructor(root, clock) {
    const find = (name) => root.querySelector(name);
    Object.assign(this, { root, clock, state: null, got: 0, dragging: false, due: 0, wanted: null });
    [this.button, this.slider, this.speed, this.marks, this.said, this.bar, this.verdict] = ["#play", "#position", "#speed", "#marks", "#said", "#bar", "#verdict"].map(find);
    this.button.addEventListener("click", () => this.toggle());
    this.slider.addEventListener("input", () => { this.dragging = true; this.seek(Number(this.slider.value)); });
    this.slider.addEventListener("change", () => { this.dragging = false; this.seek(Number(this.slider.value)); });
    this.speed.addEventListener("change", () => attempt(() => ask("/replay/speed", JSON.parse(this.speed.value))));
    this.marks.addEventListener("change", () => { if (this.marks.value !== "") this.seek(Number(this.marks.value)); });
    setInterval(() => this.tick(), 100);
  }

  async begin() {
    const view = await attempt(() => ask("/replay"));
    if (!view) return;
    this.view = view;
    since(view.begin);
    this.root.hidden = false;
    this.root.querySelector("#title").textContent = view.title;
    this.root.querySelector("#summary").textContent = view.summary;
    put(this.root.querySelector("#unwhole"), ...view.damage.map((one) => make("li", {}, one)));
    this.slider.max = view.state.length;
    this.slider.step = "any"; // so that its end is the end of the run
    put(this.marks, make("option", { value: "" }, "choose"), ...view.marks.map((one) => make("option", { value: one.at }, `${lasted(one.at)}  ${one.text}`)));
    this.draw(view);
    this.hear(view.state);
  }

  // What was broken, and when, along the slider.
  draw(view) {
    const length = view.state.length || 1;
    const open = {};
    const pieces = [];
    const piece = (from, to, kind, text) => {
      const line = make("i", { class: kind, title: text });
      line.style.left = `${(100 * from) / length}%`;
      line.style.width = `${(100 * (to - from)) / length}%`;
      pieces.push(line);
    };
    for (const one of view.marks) {
      if (one.kind === "step") piece(one.at, one.at, "step", one.text);
      else if (one.kind === "fault") open[one.fault] = one;
      else if (open[one.fault]) { piece(open[one.fault].at, one.at, "fault", open[one.fault].text); delete open[one.fault]; }
    }
    for (const one of Object.values(open)) piece(one.at, length, "fault", one.text);
    put(this.bar, ...pieces);
  }

  get position() {
    const { position, length, speed, playing } = this.state;
    return playing ? Math.min(length, position + ((performance.now() - this.got) / 1000) * speed) : position;
  }

  hear(state) {
    this.state = state;
    this.got = performance.now();
    const text = state.playing ? "Pause" : state.ended ? "Play again" : "Play";
    if (this.button.firstChild.textContent !== text) this.button.firstChild.textContent = text;
    this.rates(state.speed);
    this.tick();
    this.end(state.ended);
  }

  rates(speed) {
    const length = this.view.state.length;
    const options = [
      ...WHOLE.map((seconds) => [{ whole: seconds }, `all in ${seconds} s`, length / seconds]),
      ...SPEEDS.map(([rate, text]) => [{ speed: rate }, rate === 1 ? text : `${text} in a second`, rate]),
    ];
    const near = (rate) => Math.abs(rate - speed) <= speed * 1e-6;
    if (!options.some(([, , rate]) => near(rate))) options.push([{ speed }, `${Number(speed.toPrecision(4))} s in a second`, speed]);
    const here = options.findIndex(([, , rate]) => near(rate));
    put(this.speed, ...options.map(([body, words], n) => make("option", { value: JSON.stringify(body), selected: n === here }, words)));
  }

  tick() {
    if (!this.state) return;
    const { position } = this, { length } = this.state;
    const text = `${lasted(position)} of ${lasted(length)}`;
    if (!this.dragging) this.slider.value = position;
    if (this.said.textContent !== text) {
      this.said.textContent = text;
      this.slider.setAttribute("aria-valuetext", text);
    }
    this.clock.textContent = whole(this.view.begin + position);
  }

  async end(ended) {
    this.verdict.hidden = !ended;
    if (!ended) return;
    const view = await attempt(() => ask("/replay"));
    if (!view?.verdict) return;
    const rows = view.findings.map((one) => make("li", {}, make("strong", { class: `is ${one.verdict}` }, one.verdict), ` ${one.check}: ${one.text}`,
      one.details.length ? make("ul", {}, ...one.details.map((line) => make("li", {}, line))) : undefined));
    put(this.verdict, make("details", { open: view.verdict !== "pass" },
      make("summary", {}, "The run came to ", make("strong", { class: `is ${view.verdict}` }, view.verdict), `, ${rows.length} findings`), make("ul", {}, ...rows)));
  }

  toggle() {
    return attempt(() => ask(this.state?.playing ? "/replay/pause" : "/replay/play", {}));
  }

  // By a share of the whole.
  by(share) {
    if (this.state) this.seek(Math.min(this.state.length, Math.max(0, this.position + share * this.state.length)));
  }

  // Not more often than the board can follow, and the last one always.
  seek(to) {
    this.wanted = to;
    if (this.due) return;
    const go = async () => {
      const { wanted } = this;
      this.wanted = null;
      if (wanted !== null) await attempt(() => ask("/replay/seek", { to: wanted }));
      this.due = this.wanted === null ? 0 : setTimeout(go, OFTEN);
    };
    this.due = -1;
    go();
  }
}
