import { place } from "./ask.js";

// The lab's events, from where one left; who hears them says for which kinds.
const hearers = [];
let source = null;
export const last = { number: 0, at: 0, heard: 0 };

export function hear(kinds, hearer) {
  hearers.push([kinds, hearer]);
  if (source) listen(source, kinds);
}

function tell(kind, event) {
  if (event.lastEventId) last.number = Number(event.lastEventId);
  const data = JSON.parse(event.data);
  if (data.at > last.at) last.at = data.at;
  for (const [kinds, hearer] of hearers) if (kinds.includes(kind)) hearer(kind, data, Number(event.lastEventId));
}

const listening = new Set();
function listen(from, kinds) {
  for (const kind of kinds) {
    if (listening.has(kind)) continue;
    listening.add(kind);
    from.addEventListener(kind, (event) => tell(kind, event));
  }
}

// From now on: what was before is asked for in words.
export function follow(opened, lost) {
  source = new EventSource(place("/events"));
  source.onopen = opened;
  source.onerror = lost;
  for (const [kinds] of hearers) listen(source, kinds);
}
