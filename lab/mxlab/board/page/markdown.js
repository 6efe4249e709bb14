// A lesson's Markdown as elements: headings, lists, code, emphasis. Made of text alone, so that
// markup in it is shown and never obeyed; a link shows where it leads, and leads nowhere.
import { make } from "./dom.js";

const INLINE = /`([^`]+)`|\*\*([^*]+)\*\*|\[([^\]]+)\]\(([^)\s]+)\)/g;

export function inline(text) {
  const found = [];
  let from = 0;
  for (const match of text.matchAll(INLINE)) {
    found.push(text.slice(from, match.index));
    const [whole, code, strong, label] = match;
    if (code !== undefined) found.push(make("code", {}, code));
    else if (strong !== undefined) found.push(make("strong", {}, ...inline(strong)));
    else found.push(make("span", { title: match[4] }, label));
    from = match.index + whole.length;
  }
  found.push(text.slice(from));
  return found.filter((one) => one !== "");
}

const KINDS = [[/^(#{1,6}) +(.*)$/, "heading"], [/^ {0,3}[-*] +(.*)$/, "ul"], [/^ {0,3}\d+[.)] +(.*)$/, "ol"]];

function kindOf(line) {
  for (const [pattern, kind] of KINDS) {
    const match = pattern.exec(line);
    if (match) return [kind, match];
  }
  return ["text", null];
}

// `top`: the level at which its own first heading stands.
export function markdown(text, top = 3) {
  const root = document.createDocumentFragment();
  let open = null, lines = [], fence = null;
  const close = () => {
    if (open && lines.length) open.append(...inline(lines.join(" ")));
    open = null;
    lines = [];
  };
  for (const line of text.split("\n")) {
    if (fence) {
      if (/^```/.test(line)) fence = null;
      else fence.textContent += line + "\n";
      continue;
    }
    if (/^```/.test(line)) {
      close();
      root.append((fence = make("pre", { tabindex: "0" })));
      continue;
    }
    const [kind, match] = kindOf(line);
    if (!line.trim()) close();
    else if (kind === "heading") {
      close();
      root.append(make("h" + Math.min(6, top + match[1].length - 1), {}, ...inline(match[2])));
    } else if (kind === "ul" || kind === "ol") {
      close();
      const list = root.lastChild?.nodeName.toLowerCase() === kind ? root.lastChild : root.appendChild(make(kind));
      open = list.appendChild(make("li"));
      lines = [match[1]];
    } else {
      if (!open) open = root.appendChild(make("p"));
      lines.push(line.trim());
    }
  }
  close();
  return root;
}
