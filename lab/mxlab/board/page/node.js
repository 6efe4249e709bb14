// One node: its life, what waits there, what is broken, what it did.
import { ask, attempt } from "./ask.js";
import { make, put, when } from "./dom.js";

const KINDS = ["refuse", "reply", "delay", "cut", "greylist", "tarpit", "disk-full", "drop", "reject"];

export class NodePanel {
  constructor(title, body, changed) {
    Object.assign(this, { title, body, changed, name: "", view: null, readonly: false });
  }

  choose(view, faults) {
    this.name = view.node;
    this.show(view, faults);
  }

  async act(action) {
    if (!this.name) return;
    await attempt(() => ask(`/nodes/${encodeURIComponent(this.name)}/${action}`, {}));
    this.changed();
  }

  async flush() {
    await attempt(() => ask("/queues/flush", { node: this.name }));
    this.changed();
  }

  async heal() {
    await attempt(() => ask(`/faults/${encodeURIComponent(this.name)}`, undefined, "DELETE"));
    this.changed();
  }

  show(view, faults) {
    this.view = view;
    this.title.textContent = `${view.node} (${view.role})`;
    const running = view.state === "running";
    const button = (text, work, able = true) => make("button", { type: "button", onclick: work, disabled: !able }, text);
    const life = make("div", { class: "acts" },
      running ? button("Kill", () => this.act("kill")) : button("Start", () => this.act("start"), view.state === "stopped"),
      button("Stop", () => this.act("stop"), running),
      view.state === "paused" ? button("Resume", () => this.act("resume")) : button("Pause", () => this.act("pause"), running),
      view.role === "dns" ? undefined : button("Flush", () => this.flush(), running),
      faults.length ? button("Heal all here", () => this.heal()) : undefined);
    const about = make("p", {}, `${view.address}, ${view.state}${view.problem ? `: ${view.problem}` : ""}`);
    this.queue ||= make("div");
    this.log ||= make("div");
    const acts = this.readonly ? [] : [life];
    const harm = this.readonly || view.role === "dns" ? [] : [this.breaking()];
    put(this.body, about, ...acts, this.broken(faults), ...harm, this.queue, this.log);
    this.refresh();
  }

  broken(faults) {
    if (!faults.length) return undefined;
    const heal = (id) => attempt(() => ask(`/faults/${encodeURIComponent(id)}`, undefined, "DELETE")).then(this.changed);
    return make("ul", {}, ...faults.map((one) => make("li", {}, `${one.kind} ${parameters(one)} `,
      this.readonly ? `(${one.id})` : make("button", { type: "button", onclick: () => heal(one.id) }, `Heal ${one.id}`))));
  }

  breaking() {
    const kind = make("select", { "aria-label": "What breaks" }, ...KINDS.map((one) => make("option", {}, one)));
    const more = make("input", { "aria-label": "Its parameters as JSON", placeholder: '{"verb": "RCPT", "code": 451}', size: "28" });
    const harm = async (event) => {
      event.preventDefault();
      await attempt(() => ask("/faults", { kind: kind.value, host: this.name, parameters: more.value ? JSON.parse(more.value) : {} }));
      this.changed();
    };
    return make("form", { onsubmit: harm }, kind, more, make("button", { type: "submit" }, "Break it"));
  }

  async refresh() {
    if (!this.name) return;
    const name = encodeURIComponent(this.name);
    const [waits, log] = await Promise.all([
      this.view.role === "dns" ? undefined : attempt(() => ask(`/queues/${name}`)),
      attempt(() => ask(`/nodes/${name}/log?lines=12`)),
    ]);
    if (waits) put(this.queue, make("h3", {}, `Queue: ${waits.entries.length}${waits.stopped ? ", as its disk was left" : ""}`), table(waits.entries.slice(0, 20)));
    else put(this.queue);
    if (log) put(this.log, make("h3", {}, "What it did last"), make("pre", { tabindex: "0" }, log.lines.map((line) => line.replace(/^[\d.]+/, (at) => when(Number(at)))).join("\n")));
  }
}

function parameters(fault) {
  return Object.entries(fault.parameters).map(([key, value]) => `${key}=${value}`).join(" ");
}

function table(entries) {
  if (!entries.length) return undefined;
  const rows = entries.map((entry) => make("tr", {},
    make("td", {}, entry.queue_id), make("td", {}, entry.sender || "<>"),
    make("td", {}, entry.recipients.map((one) => one.address).join(", ")),
    make("td", {}, entry.recipients[0]?.delay_reason || entry.queue_name),
    make("td", { class: "num" }, entry.next_attempt ? when(entry.next_attempt) : "–")));
  const heads = ["Id", "From", "To", "Why it waits", "Next try"].map((text) => make("th", { scope: "col" }, text));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...rows));
}
