// The exercise: where one is chosen, its tasks as they turn green, and what helps with them.
import { ask, attempt } from "./ask.js";
import { make, put } from "./dom.js";
import { inline, markdown } from "./markdown.js";

const MARKS = { done: "✓", skipped: "–", broken: "✗", open: "" };
const WORDS = { done: "done", skipped: "passed over", broken: "broken", open: "to do" };
const SOON = 500, OFTEN = 3000, SURE = 5000; // milliseconds

export class Exercise {
  constructor(root) {
    this.root = root;
    this.visible = false;
    this.choosing = false;
    this.shown = "";
    this.parts = {
      list: root.querySelector("#exercise-list"), at: root.querySelector("#exercise-at"), lesson: root.querySelector("#exercise-lesson"),
      doing: root.querySelector("#exercise-doing"), task: root.querySelector("#exercise-task"), came: root.querySelector("#exercise-came"),
    };
    setInterval(() => { if (this.visible && !document.hidden) this.look(); }, OFTEN);
  }

  show(visible) {
    this.visible = visible;
    if (visible) this.refresh();
  }

  // Something happened in the lab: the present task may be done by it.
  soon() {
    if (!this.visible || this.timer) return;
    this.timer = setTimeout(() => { this.timer = 0; this.look(); }, SOON);
  }

  async refresh() {
    const at = await attempt(() => ask("/exercise"));
    if (at) this.take(at);
  }

  async look() {
    if (this.asking) return;
    const task = this.present();
    if (!task || task.kind !== "done" || this.at.doing) return this.refresh();
    const at = await ask("/exercise/look", {}).catch(() => null);
    if (!at || this.asking) return;
    const over = at.exercise?.tasks.find((one) => one.id === task.id)?.state === "done";
    this.take(at);
    if (over) this.tell([make("p", { class: "good" }, `✓ ${task.id}: done`)]);
  }

  present() {
    return this.at?.exercise?.tasks.find((task) => task.present);
  }

  // Ask for something that takes its time; meanwhile say what is being done.
  async work(path, body) {
    if (this.asking) return undefined;
    this.asking = true;
    const pulse = setInterval(async () => {
      const at = await ask("/exercise").catch(() => null);
      if (at && this.asking) this.doing(at.doing);
    }, SOON);
    this.doing("one moment");
    this.enable();
    try {
      return await attempt(() => ask(path, body));
    } finally {
      clearInterval(pulse);
      this.asking = false;
      this.doing("");
      this.enable();
    }
  }

  doing(text) {
    if (this.parts.doing.textContent !== text) this.parts.doing.textContent = text;
    this.parts.doing.hidden = !text;
  }

  enable() {
    for (const button of this.root.querySelectorAll("button[data-works]")) button.disabled = this.asking || button.dataset.works === "no";
  }

  take(at) {
    this.at = at;
    this.doing(at.doing);
    const list = this.choosing || !at.exercise;
    this.parts.list.hidden = !list;
    this.parts.at.hidden = list;
    if (list && !this.parts.list.children.length) this.tracks();
    put(this.root.querySelector("#exercise-remarks"), ...at.remarks.map((remark) => make("p", { class: "hint" }, remark)));
    if (at.exercise) this.paint(at.exercise);
  }

  async tracks() {
    put(this.parts.list, make("p", { class: "hint" }, "reading what there is"));
    const tracks = await attempt(() => ask("/exercises"));
    if (!tracks) return put(this.parts.list);
    const back = this.at?.exercise ? make("button", { type: "button", onclick: () => this.choose(false) }, "Back to the exercise") : undefined;
    put(this.parts.list, back, ...tracks.map((track) => make("section", {}, make("h2", {}, track.title),
      make("ol", { class: "exercises" }, ...track.exercises.map((one) => this.entry(one))))));
    this.enable();
  }

  entry(one) {
    const far = one.finished ? "✓ done" : one.over ? `${one.over} of ${one.tasks} tasks` : `${one.tasks} tasks`;
    const start = () => (one.current && !one.finished ? this.choose(false) : this.start(one.id));
    return make("li", { class: one.finished ? "done" : one.current ? "current" : undefined },
      make("button", { type: "button", "data-works": "yes", "data-exercise": one.id, onclick: start }, make("strong", {}, one.title),
        make("span", { class: "label" }, ` ${one.minutes} min, ${far}${one.current ? ", you are here" : ""}`),
        make("span", { class: "words" }, one.summary)));
  }

  choose(choosing) {
    this.choosing = choosing;
    put(this.parts.list);
    this.take(this.at);
    this.root.querySelector(choosing ? "#exercise-list button" : "#exercise-task input, #exercise-task button")?.focus();
  }

  async start(id) {
    put(this.parts.came);
    const at = await this.work(`/exercises/${id}/start`, {});
    if (!at) return this.refresh();
    this.choosing = false;
    put(this.parts.list);
    this.take(at);
    this.focus();
  }

  paint(one) {
    const text = JSON.stringify(one);
    if (text === this.shown) return;
    this.shown = text;
    const over = one.tasks.filter((task) => task.state === "done" || task.state === "skipped").length;
    const place = one.here ? "" : `; the lab ${one.lab} of this exercise is not up here: Reset brings it up and begins anew`;
    put(this.root.querySelector("#exercise-title"), one.title);
    put(this.root.querySelector("#exercise-about"), `${one.track ? one.track + ", " : ""}${one.minutes} min, lab ${one.lab}, seat ${one.seat}${place}`);
    put(this.root.querySelector("#exercise-summary"), ...inline(one.summary));
    put(this.root.querySelector("#exercise-words"), one.terms.length ? `Words: ${one.terms.join(", ")} (mxlab explain WORD)` : "");
    const bar = this.root.querySelector("#exercise-progress");
    bar.max = one.tasks.length;
    bar.value = over;
    put(this.root.querySelector("#exercise-far"), `${over} of ${one.tasks.length} tasks`);
    put(this.root.querySelector("#exercise-tasks"), ...one.tasks.map((task) => make("li",
      { class: task.present ? "current" : task.state, "aria-current": task.present ? "step" : undefined },
      make("span", { class: "mark", "aria-hidden": "true" }, task.present ? "▸" : MARKS[task.state]),
      make("span", {}, ...inline(task.text), make("span", { class: "label" }, ` (${task.present ? "now" : WORDS[task.state]}${task.guess ? `, you guessed ${task.guess}` : ""})`)))));
    if (this.lesson !== one.id) {
      this.lesson = one.id;
      put(this.parts.lesson.querySelector("div"), markdown(one.lesson));
      this.parts.lesson.hidden = !one.lesson;
      this.parts.lesson.open = false;
      put(this.parts.came);
    }
    this.paintTask(one, one.tasks.find((task) => task.present));
  }

  paintTask(one, task) {
    const typed = this.task === one.id + task?.id ? this.root.querySelector("#exercise-answer")?.value : "";
    const had = this.parts.task.contains(document.activeElement) ? document.activeElement.dataset.part : "";
    this.task = one.id + task?.id;
    put(this.parts.task, ...(task ? this.doingTask(task) : this.atEnd(one)));
    const input = this.root.querySelector("#exercise-answer");
    if (input && typed) input.value = typed;
    if (had) this.parts.task.querySelector(`[data-part=${had}]`)?.focus();
    this.enable();
  }

  doingTask(task) {
    const asks = task.kind === "answer" || task.kind === "predict";
    const input = make("input", { id: "exercise-answer", name: "answer", type: "text", autocomplete: "off", spellcheck: "false", "data-part": "answer" });
    const word = (choice) => make("button", { type: "button", onclick: () => { input.value = `${input.value} ${choice}`.trim(); input.focus(); } }, choice);
    const check = asks ? (task.kind === "predict" ? "Guess" : "Answer") : task.kind === "prove" ? "Prove it" : "Check";
    const form = make("form", { onsubmit: (event) => { event.preventDefault(); this.check(asks ? input.value : null); } },
      asks ? make("label", {}, task.form ? `Your answer (${task.form})` : "Your answer", input) : undefined,
      this.button("check", check, null, "submit"));
    return [
      make("h3", {}, task.kind === "predict" ? "A guess, never wrong" : "The task now"),
      make("p", { class: "task" }, ...inline(task.text)),
      asks && task.choices.length ? make("div", { class: "acts", role: "group", "aria-label": "Words to put into the answer" }, ...task.choices.map(word)) : undefined,
      form,
      make("ol", { class: "hints", "aria-label": "Hints that were given" }, ...task.hints.map((hint) => make("li", {}, ...inline(hint.trim())))),
      make("div", { class: "acts", role: "group", "aria-label": "Help" },
        this.button("hint", "Hint", () => this.hint()),
        this.sure("solution", "Solution", "It goes on record: show it", () => this.solution()),
        this.sure("skip", "Skip", "Do it for me", () => this.pass("/exercise/skip", {})),
        this.sure("again", "Task anew", "Begin this task anew", () => this.pass("/exercise/reset", { task: true })),
        this.sure("reset", "Reset", "Begin the exercise anew", () => this.pass("/exercise/reset", {})),
        this.button("all", "All exercises", () => this.choose(true))),
    ];
  }

  atEnd(one) {
    return [
      make("h3", { class: one.finished ? "good" : undefined }, one.finished ? "Done" : "All tasks are over"),
      one.finish ? make("p", { class: "task" }, ...inline(one.finish)) : undefined,
      make("div", { class: "acts" },
        one.finished ? undefined : this.button("check", "Judge it", () => this.check(null)),
        one.follows ? this.button("next", "Next exercise", () => this.start(one.follows)) : undefined,
        this.sure("reset", "Reset", "Begin the exercise anew", () => this.pass("/exercise/reset", {})),
        this.button("all", "All exercises", () => this.choose(true))),
    ];
  }

  button(part, text, act, type = "button") {
    return make("button", { type, "data-part": part, "data-works": "yes", onclick: act || undefined }, text);
  }

  // A button that is pressed twice: what it does is not undone by another.
  sure(part, text, question, act) {
    const button = this.button(part, text, () => {
      if (button.dataset.sure) return act();
      button.dataset.sure = "asked";
      button.textContent = question + "?";
      setTimeout(() => { delete button.dataset.sure; button.textContent = text; }, SURE);
    });
    return button;
  }

  async check(answer) {
    const came = await this.work("/exercise/check", answer === null ? {} : { answer });
    if (!came) return;
    const good = came.verdict === "done" || came.verdict === "recorded";
    const mark = good ? "✓" : came.verdict === "unknown" || came.verdict === "not understood" ? "?" : "✗";
    const bad = (came.ended || []).filter((finding) => finding.verdict !== "pass");
    this.take(came.at);
    this.tell([
      make("p", { class: good ? "good" : "bad" }, `${mark} ${came.task || "the whole"}: ${good ? "done" : ""}${good && came.text ? ", " : ""}${came.text}`),
      ...came.observed.map((line) => make("p", { class: "words" }, line)),
      came.told ? make("p", {}, ...inline(came.told)) : undefined,
      came.true ? make("p", {}, `It is ${came.true}.`) : undefined,
      ...came.guesses.map((guess) => make("p", {}, `You guessed ${guess.guess}; it is ${guess.true}: ${guess.right === null ? "who knows" : guess.right ? "just so" : "not quite"}.`)),
      ...came.broken.map((text) => make("p", { class: "bad" }, `✗ ${text} It was not so: Reset begins anew.`)),
      ...bad.map((finding) => make("p", { class: "bad" }, `${finding.check}: ${finding.text}`)),
    ]);
    if (good) this.focus();
    else this.root.querySelector("#exercise-answer")?.select();
  }

  tell(lines) {
    put(this.parts.came, ...lines);
  }

  focus() {
    (this.root.querySelector("#exercise-answer") || this.parts.task.querySelector("button"))?.focus();
  }

  async hint() {
    const found = await this.work("/exercise/hint", {});
    if (!found) return;
    if (found.hint === null) this.tell([make("p", {}, found.given ? "There is no more hint. Solution shows how it is done." : "There is no hint for this.")]);
    await this.refresh();
  }

  async solution() {
    const found = await this.work("/exercise/solution", {});
    if (!found) return;
    const commands = found.commands.length ? make("pre", { tabindex: "0" }, found.commands.join("\n")) : undefined;
    const nothing = !commands && !found.answer ? make("p", {}, "There is nothing to type.") : undefined;
    this.tell([commands, found.answer ? make("p", {}, `The answer: ${found.answer}`) : undefined, nothing]);
    await this.refresh();
  }

  async pass(path, body) {
    put(this.parts.came);
    const at = await this.work(path, body);
    if (at) this.take(at);
    else await this.refresh();
    this.focus();
  }
}
