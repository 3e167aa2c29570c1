// nbgrader's Validate shows the whole source of each check cell that failed, and what is wrong below it, out of sight.
// Here the source gets a few lines, in which one can scroll, so that the sentences are seen at once.
//
// A JupyterLab extension as JupyterLab loads it, written by hand: it needs nothing that would have to be built.
(() => {
  const NAME = "trainloop-validate";
  // In the answer stand, for each cell: a sentence, the source, the error.
  const STYLE = `
    #validation-message.validation-failed > div:nth-child(3n + 2) pre { max-height: 4.5em; overflow: auto; opacity: 0.75; }
    #validation-message.validation-failed > div:nth-child(3n) pre { border-left: 3px solid; }
  `;

  const plugin = {
    id: `${NAME}:plugin`,
    description: "Makes the answer of nbgrader's Validate short.",
    autoStart: true,
    activate: () => {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: () => {},
    get: () => Promise.resolve(() => ({ __esModule: true, default: [plugin] })),
  };
})();
