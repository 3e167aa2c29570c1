/* Formulas: MathJax is fetched for the first one that comes near the window, and draws each as it comes near; all others
   follow in spare moments once somebody reads on. Until then a formula stands in the page as it is written. Before the
   page is printed all are drawn: the key for it waits, and what the menu prints is drawn at once if MathJax is there. */
(function () {
  "use strict";

  var here = document.currentScript.src;
  var waiting = new Set();
  var loaded = null;
  var queue = Promise.resolve();
  var FEW = 4; /* at a time, so that the page answers in between */
  var idle = window.requestIdleCallback || function (then) { return setTimeout(then, 50); };

  function load() {
    loaded = loaded || new Promise(function (done, failed) {
      var script = document.createElement("script");
      script.src = new URL("mathjax/tex-chtml.js", here).href;
      script.onload = function () { MathJax.startup.promise.then(done, failed); };
      script.onerror = failed;
      document.head.append(script);
    });
    return loaded;
  }

  /* Draw what these elements hold. Tells of it by the event "drawn". */
  function draw(elements) {
    leave(elements);
    queue = queue.then(load).then(function () { return MathJax.typesetPromise(elements); }).then(function () {
      tell(elements);
    }).catch(function (error) { console.error(error); });
    return queue;
  }

  function leave(elements) {
    elements.forEach(function (one) { waiting.delete(one); near.unobserve(one); });
  }

  function tell(elements) { document.dispatchEvent(new CustomEvent("drawn", { detail: elements })); }

  /* All that is not drawn yet, before anything else happens. */
  function now() {
    var left = Array.from(document.querySelectorAll(".math")).filter(function (one) {
      return !one.querySelector("mjx-container");
    });
    if (!left.length || !window.MathJax || !MathJax.typeset) { return; }
    MathJax.typeset(left); /* if that fails, they wait on */
    leave(left);
    tell(left);
  }

  /* The keys that print: first the formulas. */
  function printing(event) {
    if ((event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey && event.key.toLowerCase() === "p") {
      event.preventDefault();
      rest().then(function () { window.print(); });
    }
  }

  /* All that is left, a few at a time. */
  var following = null;
  function rest() {
    following = following || new Promise(function (done) {
      idle(function next() {
        var few = Array.from(waiting).slice(0, FEW);
        if (few.length) { draw(few).then(function () { idle(next); }); } else { queue.then(done); }
      });
    });
    return following;
  }

  var near = new IntersectionObserver(function (entries) {
    var come = entries.filter(function (one) { return one.isIntersecting && waiting.has(one.target); });
    if (come.length) { draw(come.map(function (one) { return one.target; })); }
  }, { rootMargin: "300px 0px" });

  function begin() {
    document.querySelectorAll(".math").forEach(function (one) { waiting.add(one); near.observe(one); });
    ["scroll", "pointermove", "touchstart", "keydown"].forEach(function (name) {
      window.addEventListener(name, rest, { once: true, passive: true });
    });
    window.addEventListener("keydown", printing);
    window.addEventListener("beforeprint", now);
  }

  window.courseFormulas = { draw: draw };
  if (document.readyState === "loading") { document.addEventListener("DOMContentLoaded", begin); } else { begin(); }
})();
