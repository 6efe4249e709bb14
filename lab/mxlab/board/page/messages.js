// What was delivered: a list that grows, a search, and one message whole.
import { ask, attempt, place, query } from "./ask.js";
import { make, put, whole } from "./dom.js";

const SHOWN = 100;

export class Messages {
  constructor(root) {
    this.form = root.querySelector("#search");
    this.list = root.querySelector("#list");
    this.letter = root.querySelector("#letter");
    this.found = root.querySelector("#found");
    this.boxes = new Set();
    this.chosen = "";
    this.form.addEventListener("input", () => this.soon());
    this.form.addEventListener("submit", (event) => event.preventDefault());
    root.querySelector("#empty").addEventListener("click", () => this.empty());
    this.list.addEventListener("keydown", (event) => this.step(event));
  }

  soon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.refresh(), 150);
  }

  // However often: once in a while, and never a question while another is open.
  later() {
    if (this.due || this.asking) return;
    this.due = setTimeout(() => { this.due = 0; this.refresh(); }, 500);
  }

  async refresh() {
    this.asking = (this.asking || 0) + 1;
    try {
      await this.load();
    } finally {
      this.asking -= 1;
    }
  }

  async load() {
    const turn = this.turn = (this.turn || 0) + 1;
    const asked = Object.fromEntries(new FormData(this.form));
    const found = await attempt(() => ask("/messages" + query({ ...asked, limit: SHOWN })));
    if (!found || turn !== this.turn) return;
    this.found.textContent = `${found.total} ${found.total === 1 ? "message" : "messages"}`;
    const focus = document.activeElement?.dataset?.id;
    put(this.list, ...found.messages.map((one) => this.row(one)));
    if (focus) this.list.querySelector(`[data-id="${focus}"]`)?.focus();
    for (const one of found.messages) if (!this.boxes.has(one.mailbox)) {
      this.boxes.add(one.mailbox);
      this.form.elements.mailbox.append(make("option", { value: one.mailbox }, one.mailbox));
    }
  }

  row(one) {
    const current = one.id === this.chosen ? "true" : undefined;
    return make("li", {}, make("button", { type: "button", "data-id": one.id, "aria-current": current, onclick: () => this.open(one) },
      make("strong", {}, one.subject || "(no subject)"),
      make("span", {}, `${one.sender || "<>"} to ${one.recipient}`),
      make("span", { class: "label" }, `${whole(one.delivered_at)} at ${one.node}, ${one.size} bytes`)));
  }

  step(event) {
    const rows = [...this.list.querySelectorAll("button")];
    const here = rows.indexOf(document.activeElement);
    const to = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: rows.length - 1 }[event.key];
    if (to === undefined || !rows[to]) return;
    event.preventDefault();
    rows[to].focus();
  }

  async open(one) {
    this.chosen = one.id;
    for (const row of this.list.querySelectorAll("button")) {
      if (row.dataset.id === one.id) row.setAttribute("aria-current", "true");
      else row.removeAttribute("aria-current");
    }
    const detail = await attempt(() => ask(`/messages/${one.id}`));
    if (!detail || this.chosen !== one.id) return;
    const { letter } = detail;
    const shown = ["From", "To", "Cc", "Subject", "Date", "Message-ID", "Delivered-To", "Return-Path"];
    const brief = letter.headers.filter((header) => shown.some((name) => name.toLowerCase() === header.name.toLowerCase()));
    const path = place(`/messages/${one.id}`);
    const extra = letter.parts.filter((part) => part.attachment);
    if (detail.missing) {
      put(this.letter, make("h3", {}, one.subject || "(no subject)"),
        headers([{ name: "From", value: one.sender || "<>" }, { name: "To", value: one.recipient }, { name: "Message-ID", value: one.message }]),
        make("p", { class: "hint" }, `It cannot be read: ${detail.missing}.`), make("h3", {}, "Why it is here"), this.life(one));
      this.letter.focus();
      return;
    }
    put(this.letter,
      make("h3", {}, one.subject || "(no subject)"),
      headers(brief),
      letter.text ? make("pre", { tabindex: "0" }, letter.text) : undefined,
      letter.html ? make("iframe", { src: `${path}/html`, sandbox: "", title: "The message's HTML, as a guest", loading: "lazy" }) : undefined,
      extra.length ? make("h3", {}, "Attachments") : undefined,
      extra.length ? make("ul", {}, ...extra.map((part) => make("li", {},
        make("a", { href: `${path}/parts/${part.number}`, download: part.name }, part.name), ` ${part.media_type}, ${part.size} bytes`))) : undefined,
      make("h3", {}, "Why it is here"), this.life(one),
      make("details", {}, make("summary", {}, "All header fields"), headers(letter.headers)),
      make("details", { ontoggle: (event) => this.source(event, path) }, make("summary", {}, "Source"), make("pre", { tabindex: "0" })));
    this.letter.focus();
  }

  life(one) {
    const box = make("pre", { tabindex: "0" }, "reading its story");
    attempt(() => ask("/trace" + query({ message: one.message }))).then((told) => { box.textContent = told ? told.lines.join("\n") : ""; });
    return box;
  }

  async source(event, path) {
    const box = event.target.querySelector("pre");
    if (!event.target.open || box.textContent) return;
    box.textContent = await (await fetch(`${path}/raw`)).text();
  }

  async empty() {
    const { mailbox } = Object.fromEntries(new FormData(this.form));
    await attempt(() => ask("/messages" + query({ mailbox }), undefined, "DELETE"));
    put(this.letter, make("p", { class: "hint" }, "The list is empty; the mailboxes keep their mail."));
    this.refresh();
  }
}

function headers(fields) {
  return make("dl", {}, ...fields.flatMap((field) => [make("dt", {}, field.name), make("dd", {}, field.value)]));
}
