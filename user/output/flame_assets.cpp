// SPDX-License-Identifier: Apache-2.0
#include "user/output/flame_assets.h"

namespace leaktrace::output {

const std::string_view kFlameStyle = R"css(
.lt text { font: 12px ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; fill: #16181d; }
.lt .bg { fill: #ffffff; }
.lt .title { font-weight: bold; font-size: 15px; }
.lt .dim { fill: #5a6270; }
.lt .link { fill: #0b5cad; cursor: pointer; }
.lt .link:hover { text-decoration: underline; }
.lt .off { display: none; }
.lt .f { cursor: pointer; }
.lt .f rect { stroke: #ffffff; stroke-width: .6; }
.lt .f:hover rect, .lt .f:focus rect { stroke: #16181d; stroke-width: 1.6; }
.lt .f:focus { outline: none; }
.lt .a { opacity: .55; }
.lt .n { fill: #dfe3e8; }
.lt .m rect { fill: #d6249f; }
.lt .m text { fill: #ffffff; }
.lt input { font: 12px ui-monospace, "DejaVu Sans Mono", monospace; width: 96%; box-sizing: border-box;
  color: #16181d; background: #ffffff; border: 1px solid #5a6270; padding: 1px 4px; }
.lt input.bad { border-color: #c62828; color: #c62828; }
@media (prefers-color-scheme: dark) {
  .lt text { fill: #eceff4; }
  .lt .bg { fill: #14161a; }
  .lt .dim { fill: #a3acba; }
  .lt .link { fill: #7fb8f5; }
  .lt .f rect { stroke: #14161a; }
  .lt .f:hover rect, .lt .f:focus rect { stroke: #eceff4; }
  .lt .n { fill: #3a404a; }
  .lt .m rect { fill: #e05ab9; }
  .lt .m text { fill: #14161a; }
  .lt input { color: #eceff4; background: #22262d; border-color: #a3acba; }
}
)css";

const std::string_view kFlameScript = R"js(
(function () {
  "use strict";
  var script = document.currentScript;
  var root = script ? script.parentNode : document.documentElement;
  var part = function (name) { return root.querySelector('[data-part="' + name + '"]'); };
  var header = part("header"), details = part("details"), matched = part("matched");
  var resetLink = part("reset"), searchLink = part("search");
  var frames = Array.from(root.querySelectorAll(".f")).map(function (element) {
    var lines = element.querySelector("title").textContent.split("\n");
    return { element: element, text: element.querySelector("text"), lines: lines,
             start: +element.dataset.s, end: +element.dataset.s + +element.dataset.w,
             depth: +element.dataset.d, matched: false };
  });
  var view = frames[0];  // the frame that is zoomed to; the first is the root
  var pattern = null;
  var box = null;

  function inside(frame) {
    return frame.depth >= view.depth && frame.start >= view.start && frame.end <= view.end;
  }

  function above(frame) {
    return frame.depth < view.depth && frame.start <= view.start && frame.end >= view.end;
  }

  function layout() {
    var pixels = root.getBoundingClientRect().width, span = view.end - view.start || 1;
    frames.forEach(function (frame) {
      var ancestor = above(frame), shown = ancestor || inside(frame);
      frame.element.classList.toggle("off", !shown);
      frame.element.classList.toggle("a", ancestor);
      if (!shown) return;
      var width = ancestor || frame === view ? 100 : (frame.end - frame.start) / span * 100;
      var left = ancestor || frame === view ? 0 : (frame.start - view.start) / span * 100;
      frame.element.setAttribute("x", left + "%");
      frame.element.setAttribute("width", width + "%");
      frame.text.classList.toggle("off", width * pixels / 100 < 24);
    });
    resetLink.classList.toggle("off", view === frames[0]);
  }

  // The part of what is zoomed to that lies below a match; a match within a match counts once.
  function matchedShare() {
    var sum = 0, reached = view.start;
    frames.filter(function (f) { return f.matched && (inside(f) || above(f)); })
      .sort(function (a, b) { return a.start - b.start; })
      .forEach(function (f) {
        var from = Math.max(f.start, reached), to = Math.min(f.end, view.end);
        if (to > from) { sum += to - from; reached = to; }
      });
    return sum / (view.end - view.start || 1);
  }

  function showMatches() {
    frames.forEach(function (frame) {
      frame.matched = pattern !== null && !frame.element.classList.contains("s") &&
                      pattern.test(frame.lines[0]);
      frame.element.classList.toggle("m", frame.matched);
    });
    part("mode").classList.toggle("off", pattern !== null);
    matched.classList.toggle("off", pattern === null);
    matched.textContent = pattern === null ? "" :
      "matched: " + (matchedShare() * 100).toFixed(1) + " % of what is shown";
  }

  function search(words) {
    var valid = true;
    try {
      pattern = words ? new RegExp(words, "i") : null;
    } catch (error) {  // half-typed: search for the characters as they are
      valid = false;
      pattern = new RegExp(words.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "i");
    }
    if (box) box.input.classList.toggle("bad", !valid);
    showMatches();
  }

  function zoom(frame) {
    view = frame;
    layout();
    showMatches();
  }

  function openSearch() {
    if (!box) {
      var holder = document.createElementNS("http://www.w3.org/2000/svg", "foreignObject");
      var input = document.createElementNS("http://www.w3.org/1999/xhtml", "input");
      input.setAttribute("placeholder", "regular expression");
      input.setAttribute("aria-label", "Search functions");
      input.addEventListener("input", function () { search(input.value); });
      holder.setAttribute("x", "60%");
      holder.setAttribute("y", "30");
      holder.setAttribute("width", "39%");
      holder.setAttribute("height", "24");
      holder.appendChild(input);
      header.appendChild(holder);
      box = { holder: holder, input: input };
    }
    box.holder.classList.remove("off");
    box.input.focus();
    box.input.select();
  }

  function reset() {
    if (box) {
      box.input.value = "";
      box.input.blur();
      box.holder.classList.add("off");
    }
    search("");
    zoom(frames[0]);
  }

  function frameOf(target) {
    var element = target.closest ? target.closest(".f") : null;
    return frames.find(function (frame) { return frame.element === element; });
  }

  function describe(event) {
    var frame = frameOf(event.target);
    details.textContent = frame ? frame.lines.join("  ·  ") : details.dataset.hint;
  }

  function onKey(event) {
    var typing = box && event.target === box.input;
    if ((event.key === "f" && (event.ctrlKey || event.metaKey)) || (event.key === "/" && !typing)) {
      event.preventDefault();
      openSearch();
    } else if (event.key === "Escape") {
      reset();
    } else if (event.key === "Enter" && typing) {
      box.input.blur();
    } else if (event.key === "Enter" && frameOf(event.target)) {
      zoom(frameOf(event.target));
    }
  }

  root.addEventListener("click", function (event) {
    var frame = frameOf(event.target);
    if (frame) zoom(frame);
  });
  root.addEventListener("mouseover", describe);
  root.addEventListener("focusin", describe);
  resetLink.addEventListener("click", function () { zoom(frames[0]); });
  searchLink.addEventListener("click", openSearch);
  window.addEventListener("keydown", onKey);
  window.addEventListener("resize", layout);
  if (root === document.documentElement) {  // a page of its own: the header stays in sight
    window.addEventListener("scroll", function () {
      header.setAttribute("transform", "translate(0 " + window.scrollY + ")");
    });
  }
  root.setAttribute("width", "100%");
  searchLink.classList.remove("off");
  layout();
})();
)js";

}  // namespace leaktrace::output
