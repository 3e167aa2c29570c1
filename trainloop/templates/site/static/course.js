/* What answers on a page without a kernel: questions, figures that move, the meaning of terms and signs, what was read.
   Every page can be read without this file. */
(function () {
  "use strict";

  function make(tag, about, parent) {
    var element = Object.assign(document.createElement(tag), about);
    if (parent) { parent.appendChild(element); }
    return element;
  }

  /* Questions: all sentences stand in the page; the one that belongs to the answer is shown. */
  function ask(root) {
    var answers = Array.from(root.querySelectorAll(".answer"));
    var numbers = root.dataset.number !== undefined;
    var choices = make("fieldset", { className: "choices" });
    var said = make("div", { className: "said" });
    said.setAttribute("aria-live", "polite");
    make("legend", { textContent: root.dataset.name }, choices);
    function tell(which) {
      said.replaceChildren.apply(said, answers.filter(function (one) { return one.dataset.answer === which; }));
      said.querySelectorAll("pre").forEach(function (one) { one.tabIndex = 0; });
      var right = answers.some(function (one) { return one.dataset.answer === which && one.matches(".right"); });
      root.dispatchEvent(new CustomEvent("answered", { bubbles: true, detail: right }));
    }
    if (numbers) {
      var form = make("form", { className: "choices" }, choices);
      var field = make("input", { type: "text", inputMode: "decimal", autocomplete: "off" }, form);
      field.setAttribute("aria-label", root.dataset.name);
      make("button", { textContent: "Check" }, form);
      form.addEventListener("submit", function (event) {
        event.preventDefault();
        var given = parseFloat(field.value.trim().replace(",", ".").replace(/%$/, ""));
        var right = Number(root.dataset.number), within = Number(root.dataset.within);
        if (!isFinite(given)) { said.textContent = "A number is asked for, without its unit."; return; }
        tell(Math.abs(given - right) <= within ? "right" : given < right ? "low" : "high");
      });
    } else {
      answers.forEach(function (one) {
        var button = make("button", { type: "button" }, choices);
        button.textContent = one.dataset.answer === "?" ? "I do not know" : one.dataset.answer;
        button.setAttribute("aria-pressed", "false");
        button.addEventListener("click", function () {
          choices.querySelectorAll("button").forEach(function (each) {
            each.setAttribute("aria-pressed", String(each === button));
          });
          tell(one.dataset.answer);
        });
      });
    }
    root.replaceChildren(choices, said);
  }

  /* The placement questions: below them the lessons whose question was missed at the first try. */
  function place(root) {
    var rows = Array.from(root.querySelectorAll("[data-question]"));
    var asks = Array.from(document.querySelectorAll(".ask"));
    var first = new Map();
    var told = make("p", { className: "told" });
    told.setAttribute("role", "status");
    root.prepend(told);
    function tell() {
      var right = Array.from(first.values()).filter(Boolean).length;
      var open = asks.length - first.size;
      told.textContent = right + " of " + first.size + " right" + (open ? "; " + open + " still to answer." : ".");
      if (!open && right === asks.length) {
        told.textContent += " You know what this course teaches. The recaps have harder questions and drills.";
      }
      rows.forEach(function (row) {
        row.closest("li").hidden = first.get(asks[Number(row.dataset.question) - 1]) !== false;
      });
    }
    document.addEventListener("answered", function (event) {
      if (!first.has(event.target)) { first.set(event.target, event.detail); }
      tell();
    });
    tell();
  }

  /* Figures that move: the frames that the build drew, chosen by sliders. */
  function move(root) {
    var told = JSON.parse(root.querySelector("script").textContent);
    var stills = root.querySelector(".stills");
    var frame = make("img", { className: "frame", loading: "lazy", width: told.size[0], height: told.size[1] });
    var controls = make("div", { className: "sliders" });
    var inputs = told.sliders.map(function (slider) {
      var label = make("label", {}, controls);
      make("span", { textContent: slider.name }, label);
      var input = make("input", { type: "range", min: 0, max: slider.values.length - 1, step: 1 }, label);
      input.value = slider.start;
      input.output = make("output", {}, label);
      input.addEventListener("input", function () { pause(); draw(); });
      return input;
    });
    function draw() {
      var place = 0;
      inputs.forEach(function (input, number) {
        var values = told.sliders[number].values;
        place = place * values.length + Number(input.value);
        input.output.textContent = values[input.value];
        input.setAttribute("aria-valuetext", String(values[input.value]));
      });
      frame.src = told.frames[place];
      frame.alt = told.alts[told.alts.length > 1 ? place : 0];
    }
    var timer = null, button = null;
    function pause() {
      clearInterval(timer);
      timer = null;
      if (button) { button.textContent = "Play"; }
    }
    if (told.plays) {
      var slider = inputs[0];
      slider.value = 0;
      button = make("button", { type: "button", textContent: "Play" });
      controls.prepend(button);
      button.addEventListener("click", function () {
        if (timer) { pause(); return; }
        if (slider.value === slider.max) { slider.value = 0; draw(); }
        button.textContent = "Pause";
        timer = setInterval(function () {
          slider.value = Number(slider.value) + 1;
          draw();
          if (slider.value === slider.max) { pause(); }
        }, 350);
      });
    }
    draw();
    stills.style.display = "none";
    root.append(frame, controls);
    root.classList.add("alive");
    /* The other frames are fetched once somebody reaches for the figure. */
    var fetched = false;
    function fetchAll() {
      if (fetched) { return; }
      fetched = true;
      told.frames.forEach(function (source) { new Image().src = source; });
    }
    ["pointerenter", "focusin", "touchstart"].forEach(function (name) {
      root.addEventListener(name, fetchAll, { passive: true });
    });
  }

  /* What a term or a sign means: on hover, on focus, on a tap. */
  var meaning = make("div", { id: "meaning", hidden: true });
  meaning.setAttribute("role", "tooltip");

  function formulas(text, into) {
    /* Markdown's $...$ as MathJax reads it; `code` as code. */
    text.split(/(\$[^$]+\$|`[^`]+`)/).forEach(function (part) {
      if (/^\$/.test(part)) {
        make("span", { className: "math", textContent: "\\(" + part.slice(1, -1) + "\\)" }, into);
      } else if (/^`/.test(part)) {
        make("code", { textContent: part.slice(1, -1) }, into);
      } else {
        into.append(part);
      }
    });
  }

  function show(at, fill) {
    meaning.replaceChildren();
    fill(meaning);
    meaning.hidden = false;
    var place = at.getBoundingClientRect();
    var left = Math.min(place.left, document.documentElement.clientWidth - meaning.offsetWidth - 12);
    meaning.style.left = Math.max(8, left) + window.scrollX + "px";
    meaning.style.top = place.bottom + window.scrollY + 6 + "px";
    at.setAttribute("aria-describedby", "meaning");
    if (window.courseFormulas && meaning.querySelector(".math")) { courseFormulas.draw([meaning]); }
  }

  function hide() {
    meaning.hidden = true;
    document.querySelectorAll("[aria-describedby=meaning]").forEach(function (one) {
      one.removeAttribute("aria-describedby");
    });
  }

  /* A finger does not hover. Where there is a mouse beside a touch screen, the browser finds it lying elsewhere right
     after a tap and says "mouseleave"; of pointers it says the same, but with the kind. */
  function explain(one, fill) {
    function hovers(then) { return function (event) { if (event.pointerType !== "touch") { then(); } }; }
    one.addEventListener("pointerenter", hovers(function () { show(one, fill); }));
    one.addEventListener("focus", function () { show(one, fill); });
    one.addEventListener("pointerleave", hovers(hide));
    one.addEventListener("blur", hide);
  }

  /* A finger cannot hover: the first tap on a term says what it means, a second one follows the link. */
  function explainTerm(link) {
    var told = link.title;
    function fill(into) { formulas(told, into); }
    link.removeAttribute("title");
    explain(link, fill);
    var first = false;
    link.addEventListener("pointerdown", function (event) {
      first = event.pointerType === "touch" && link.getAttribute("aria-describedby") !== "meaning";
    });
    link.addEventListener("click", function (event) {
      if (first) { event.preventDefault(); show(link, fill); }
      first = false;
    });
  }

  function explainFormula(formula) {
    var rows = Array.from(formula.classList).filter(function (name) { return /^sign-\d+$/.test(name); })
      .map(function (name) { return window.courseSigns[Number(name.slice(5))]; }).filter(Boolean);
    if (!rows.length) { return; }
    formula.addEventListener("click", function () { show(formula, fill); });
    explain(formula, fill);
    function fill(into) {
      var list = make("ul", {}, into);
      rows.forEach(function (row) {
        var item = make("li", {}, list);
        formulas(row[0] + ": " + row[1], item);
      });
    }
  }

  /* What was read, kept in this browser alone. */
  var KEY = "course.read";
  function read() {
    try { return JSON.parse(localStorage.getItem(KEY)) || []; } catch (error) { return []; }
  }

  function keep(slugs) {
    try { localStorage.setItem(KEY, JSON.stringify(slugs)); } catch (error) { /* a browser that keeps nothing */ }
  }

  function mark() {
    var slugs = read();
    document.querySelectorAll(".read-mark").forEach(function (one) { one.remove(); });
    document.querySelectorAll(".bd-links a, .bd-article li > p > a, .bd-article li > a").forEach(function (link) {
      var found = /lessons\/([^/]+)\.html$/.exec(link.href.split("#")[0]);
      if (found && slugs.includes(found[1])) {
        var tick = make("span", { className: "read-mark", textContent: "✓" }, link);
        tick.setAttribute("role", "img");
        tick.setAttribute("aria-label", "read");
      }
    });
    document.querySelectorAll(".read-this button").forEach(function (button) {
      var done = slugs.includes(button.dataset.lesson);
      button.hidden = false;
      button.setAttribute("aria-pressed", String(done));
      button.textContent = done ? "Read ✓" : "Mark this lesson as read";
    });
  }

  /* What scrolls by itself is reached by keyboard. First everything is measured and then everything is marked: by turns,
     the browser would lay out the page anew for each. */
  function reachable(where) {
    function all(selector) {
      return where.flatMap(function (one) {
        return (one.matches(selector) ? [one] : []).concat(Array.from(one.querySelectorAll(selector)));
      });
    }
    var formulas = all("span.math");
    var wide = formulas.map(function (one) {
      var room = one.closest("p, li, td, th, dd, summary, blockquote, div");
      var drawn = one.querySelector("mjx-math");
      return Boolean(room && drawn && drawn.offsetWidth > room.clientWidth - 12);
    });
    formulas.forEach(function (one, number) { one.classList.toggle("wide", wide[number]); });
    all("pre, div.math, span.math, table").filter(function (one) { return one.scrollWidth > one.clientWidth + 1; })
      .forEach(function (one) { one.tabIndex = 0; });
  }

  /* What measures waits until the page stands: to measure earlier has the browser lay it out once more. */
  function whenDone(then) {
    var idle = window.requestIdleCallback || setTimeout;
    if (document.readyState === "complete") { idle(then); return; }
    window.addEventListener("load", function () { idle(then); });
  }

  /* What the theme leaves without a name. */
  function name() {
    document.querySelectorAll(".bd-sidebar-primary").forEach(function (one) {
      one.setAttribute("role", "region");
      one.setAttribute("aria-label", "Site");
    });
    document.querySelectorAll(".bd-sidebar-primary summary").forEach(function (one) {
      one.setAttribute("aria-label", "Pages below this one");
    });
  }

  function begin() {
    name();
    document.body.appendChild(meaning);
    document.querySelectorAll(".ask").forEach(ask);
    document.querySelectorAll(".placement").forEach(place);
    document.querySelectorAll("figure.moving").forEach(move);
    document.querySelectorAll("a.term").forEach(explainTerm);
    document.querySelectorAll(".math").forEach(explainFormula);
    document.querySelectorAll(".read-this button").forEach(function (button) {
      button.addEventListener("click", function () {
        var slugs = read(), slug = button.dataset.lesson;
        keep(slugs.includes(slug) ? slugs.filter(function (one) { return one !== slug; }) : slugs.concat(slug));
        mark();
      });
    });
    document.addEventListener("keydown", function (event) { if (event.key === "Escape") { hide(); } });
    document.addEventListener("pointerdown", function (event) {
      if (!event.target.closest("#meaning, [aria-describedby=meaning]")) { hide(); }
    });
    var article = Array.from(document.querySelectorAll(".bd-article"));
    document.querySelectorAll("details").forEach(function (one) {
      one.addEventListener("toggle", function () { reachable([one]); });
    });
    window.addEventListener("resize", function () { reachable(article); });
    document.addEventListener("drawn", function (event) { reachable(event.detail); });
    mark();
    whenDone(function () { reachable(article); });
  }

  if (document.readyState === "loading") { document.addEventListener("DOMContentLoaded", begin); } else { begin(); }
})();
