// Elements, made of text alone: nothing that came from a lab is ever markup.
export function make(name, attributes = {}, ...inside) {
  return fill(document.createElement(name), attributes, inside);
}

export function draw(name, attributes = {}, ...inside) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, inside);
}

function fill(element, attributes, inside) {
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null && value !== false) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...inside.filter((one) => one !== undefined && one !== null).map((one) => (one instanceof Node ? one : String(one))));
  return element;
}

export function put(parent, ...inside) {
  parent.replaceChildren(...inside.filter((one) => one !== undefined && one !== null));
}

export function clock(seconds) {
  return new Date(seconds * 1000).toISOString().slice(11, 19);
}

// A moment of lab time: the time of day; in a replay, since the run began.
let origin = null;
export function since(at) {
  origin = at;
}

export function when(at) {
  return origin === null ? clock(at) : lasted(Math.max(0, at - origin));
}

// So many seconds, as days and hours.
export function lasted(seconds) {
  const days = Math.floor(seconds / 86400);
  return (days ? `${days} d ` : "") + clock(seconds % 86400);
}

export function whole(seconds) {
  return new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ");
}
