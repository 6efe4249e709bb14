// What stands in words beside the drawing: the head, findings, steps, the ledger, the events, and one
// message's story with the conversations of its tries.
"use strict";

const PAGE = 100;

function showHead(run) {
  const badge = byId("verdict");
  badge.textContent = WORDS[run.verdict];
  badge.className = "verdict " + run.verdict;
  byId("title").textContent = run.title;
  byId("summary").textContent = run.summary;
  const facts = {
    scenario: run.scenario,
    world: run.backend,
    messages: run.submitted,
    events: run.rows.length,
    "lab time": duration(run.lab_seconds),
    "real time": duration(Number(run.real_seconds.toFixed(run.real_seconds < 10 ? 2 : 0))),
    seed: run.seed,
  };
  if (run.time_scale !== 1) facts["time scale"] = run.time_scale;
  const pairs = Object.entries(facts).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, value)),
  );
  const again = make("div", {}, make("dt", {}, "again"), make("dd", {}, make("code", {}, run.replay)));
  byId("facts").replaceChildren(...pairs, again);
}

// What failed comes first, then what is open; else in the order of the run.
function showFindings(run) {
  const order = { fail: 0, unknown: 1, pass: 2 };
  const sorted = [...run.findings].sort((a, b) => order[a.verdict] - order[b.verdict]);
  const items = sorted.map((finding) => {
    const words = make("div", { class: "words" }, finding.text);
    if (finding.place) words.append(make("span", { class: "hint" }, ` (${finding.place})`));
    if (finding.details.length) {
      const more = make("details", {}, make("summary", {}, finding.details.length > 1 ? `${finding.details.length} details` : "detail"));
      if (finding.verdict !== "pass") more.setAttribute("open", "");
      more.append(make("pre", {}, finding.details.join("\n")));
      words.append(more);
    }
    const mark = make("span", { class: "mark " + finding.verdict }, WORDS[finding.verdict]);
    return make("li", { class: finding.verdict }, mark, make("span", { class: "check" }, finding.check), words);
  });
  for (const gap of run.gaps) items.push(make("li", { class: "trouble" }, `gap in the evidence: ${gap}`));
  byId("findings").replaceChildren(...items);
}

function showSteps(run, reveal) {
  const items = run.steps.map((step) =>
    make(
      "li",
      {},
      make("time", {}, "+" + duration(step.at)),
      make("span", { class: "number" }, step.index),
      make("button", { type: "button", class: "link", click: () => reveal(step.at) }, step.text),
    ),
  );
  byId("steps").replaceChildren(...items);
}

// A table of which a page is in the document at a time. `cells` makes a row's cells.
class Pages {
  constructor(name, headings, cells) {
    this.table = byId(name);
    this.bar = byId(name + "-pages");
    this.headings = headings;
    this.cells = cells;
    this.items = [];
    this.page = 0;
  }

  show(items) {
    this.items = items;
    this.page = 0;
    this.fill();
  }

  fill() {
    const first = this.page * PAGE;
    const shown = this.items.slice(first, first + PAGE);
    const head = make("tr", {}, ...this.headings.map((text) => make("th", { scope: "col" }, text)));
    const rows = shown.map((item) => make("tr", {}, ...this.cells(item)));
    this.table.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    const last = Math.ceil(this.items.length / PAGE) - 1;
    const turn = (text, by) => {
      const button = make("button", { type: "button", click: () => this.turn(by) }, text);
      button.disabled = this.page + by < 0 || this.page + by > last;
      return button;
    };
    const range = this.items.length ? `${first + 1} to ${first + shown.length} of ${this.items.length}` : "none";
    this.bar.replaceChildren(...(last > 0 ? [turn("back", -1), range, turn("on", 1)] : [range]));
  }

  turn(by) {
    this.page += by;
    this.fill();
  }
}

const cell = (content, name) => make("td", name ? { class: name } : {}, content);

function ledgerPages(run, choose) {
  return new Pages("ledger", ["message", "recipient", "became", "owed since", "copies", "and"], (item) => [
    cell(
      make("button", { type: "button", class: "link mono", click: () => choose(item.message) }, run.messages[item.message]),
      "id",
    ),
    cell(item.recipient, "address"),
    cell(item.state, "state " + item.state),
    cell(item.owed.join("; ")),
    cell(item.copies.join("; "), "address"),
    cell(item.notes.join("; ")),
  ]);
}

function logPages(run, pick) {
  return new Pages("log", ["lab time", "node", "event", "what", "message"], (number) => {
    const [at, lane, kind, message, text] = run.rows[number];
    return [
      cell("+" + duration(at), "time"),
      cell(lane < 0 ? "lab" : run.lanes[lane].name),
      cell(kind, "mono"),
      cell(make("button", { type: "button", class: "link words", click: () => pick(number) }, text)),
      cell(message < 0 ? "" : run.messages[message], "mono"),
    ];
  });
}

// One message's life; `row` is the event to point at.
function showStory(run, message, row, pick) {
  const story = message < 0 ? [[row, run.rows[row][4]]] : run.stories[message];
  const begin = run.rows[story[0][0]][0];
  const list = make("ol", {});
  for (const [number, words] of story) {
    const [at, lane] = run.rows[number];
    const item = make(
      "li",
      {},
      make("time", {}, "+" + duration(message < 0 ? at : at - begin)),
      make("span", { class: "node" }, lane < 0 ? "lab" : run.lanes[lane].name),
    );
    const what = make("span", { class: "words" });
    const isTry = run.tryOf.has(number) && run.tries[run.tryOf.get(number)][8].length;
    if (isTry) what.append(make("button", { type: "button", class: "link", click: () => pick(number) }, words));
    else what.append(words);
    item.append(what);
    if (number === row) {
      item.className = "now";
      item.setAttribute("aria-current", "true");
    }
    list.append(item);
  }
  const head = message < 0 ? "An event of no message" : run.messages[message];
  byId("story").replaceChildren(make("h3", {}, head), list);
  const now = list.querySelector(".now");
  if (now) byId("story").scrollTop = now.offsetTop - byId("story").offsetTop - 80;
}

function showDialog(run, row) {
  const number = run.tryOf.get(row);
  const item = number === undefined ? null : run.tries[number];
  const box = byId("dialog");
  if (!item || !item[8].length) {
    box.replaceChildren();
    return;
  }
  const lines = item[8].map((line) => {
    const side = line.startsWith("S:") ? "s" : "c";
    const bad = side === "s" && /^S: [45]/.test(line) ? " bad" : "";
    return make("li", { class: "mono " + side + bad }, line);
  });
  const from = item[2] < 0 ? "?" : run.lanes[item[2]].name;
  const took = duration(Number((item[5] - item[4]).toFixed(4)));
  box.replaceChildren(
    make("h3", {}, `The conversation of ${from} with ${item[7]}`),
    make("p", { class: "hint" }, `${took} of lab time; C is ${from}, S is ${item[7]}.`),
    make("ol", { class: "talk" }, ...lines),
  );
}
