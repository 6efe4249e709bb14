// The runs as the page was given them, with what is looked up often. Guarantee: strings from a run
// become text nodes and nothing else.
"use strict";

const RUNS = JSON.parse(document.getElementById("data").textContent);
const WORDS = { pass: "PASSED", fail: "FAILED", unknown: "INCONCLUSIVE" };

function prepare(run) {
  run.stories = run.messages.map(() => []); // message -> [row, words]
  run.rows.forEach(([, , , message, text], row) => {
    if (message >= 0) run.stories[message].push([row, text]);
  });
  for (const [row, about, text] of run.notices) run.stories[about].push([row, text]);
  for (const story of run.stories) story.sort((a, b) => a[0] - b[0]);
  run.tryOf = new Map(run.tries.map((item, number) => [item[0], number]));
  run.triesOf = run.messages.map(() => []);
  run.tries.forEach((item, number) => {
    if (item[1] >= 0) run.triesOf[item[1]].push(number);
  });
  return run;
}

// An element with attributes and children; a child that is no element becomes text.
function make(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "class") element.className = value;
    else if (name === "click") element.addEventListener("click", value);
    else element.setAttribute(name, value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return element;
}

const byId = (id) => document.getElementById(id);

// Lab seconds in words: three units at most, milliseconds only below a minute.
function duration(seconds) {
  let left = Math.round(Math.abs(seconds) * 1000);
  if (left >= 60000) left = Math.round(left / 1000) * 1000;
  const parts = [];
  for (const [unit, size] of [["d", 86400000], ["h", 3600000], ["m", 60000]]) {
    if (left >= size) parts.push(Math.floor(left / size) + unit);
    left %= size;
  }
  if (left) parts.push(Number((left / 1000).toFixed(3)) + "s");
  return (seconds < 0 ? "-" : "") + (parts.slice(0, 3).join(" ") || "0s");
}
