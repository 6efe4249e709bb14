// The view of the terminal: a frame, made when it is first looked at.
import { ask, attempt } from "./ask.js";
import { make, put } from "./dom.js";

export class TerminalView {
  constructor(root, button) {
    this.place = root.querySelector("#terminal-place");
    root.querySelector("#terminal-new").addEventListener("click", () => this.anew());
    ask("/terminals").then((found) => { button.hidden = !found.enabled; this.enabled = found.enabled; this.show(this.wanted); }).catch(() => {});
  }

  show(visible) {
    this.wanted = visible;
    if (!visible || !this.enabled) return;
    if (!this.frame) this.open();
    this.frame.focus();
  }

  open() {
    this.frame = make("iframe", { src: "page/terminal.html", title: "Terminal", id: "terminal-frame" });
    this.frame.addEventListener("load", () => { if (this.wanted) this.frame.focus(); });
    put(this.place, this.frame);
  }

  // End the shell, with all that runs in it, and begin one.
  async anew() {
    const { open } = await attempt(() => ask("/terminals")) || { open: [] };
    if (open.includes("1")) await attempt(() => ask("/terminals/1", undefined, "DELETE"));
    this.open();
  }
}
