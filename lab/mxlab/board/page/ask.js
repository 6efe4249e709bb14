// What the page asks of the board, and how it says that something went wrong.
const API = "api/v1"; // relative: the page may stand below a path of a proxy

export async function ask(path, body, method) {
  const how = { method: method || (body === undefined ? "GET" : "POST"), headers: {} };
  if (body !== undefined) {
    how.body = JSON.stringify(body);
    how.headers["content-type"] = "application/json";
  }
  const reply = await fetch(API + path, how);
  const said = await reply.json();
  if (!reply.ok) throw new Error(said.hint ? `${said.error} (${said.hint})` : said.error);
  return said;
}

export function query(values) {
  const given = Object.entries(values).filter(([, value]) => value !== "" && value !== undefined);
  return given.length ? "?" + new URLSearchParams(given) : "";
}

export function place(path) {
  return API + path;
}

let timer = 0;
export function trouble(error) {
  const line = document.getElementById("trouble");
  line.textContent = error ? String(error.message || error) : "";
  line.hidden = !error;
  clearTimeout(timer);
  if (error) timer = setTimeout(() => trouble(null), 12000);
}

// Do it, and say what went wrong.
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    trouble(error);
    return undefined;
  }
}
