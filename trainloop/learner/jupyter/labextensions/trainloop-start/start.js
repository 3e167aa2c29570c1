// The start page in an open tab: JupyterLab reads a file once, and the server writes this one anew behind its back.
// So it is read again when its tab comes to the front, and a little after a notebook was saved. Its tables are of one
// width.
//
// A JupyterLab extension as JupyterLab loads it, written by hand: it needs nothing that would have to be built.
(() => {
  const NAME = "trainloop-start";
  const PAGE = "0-start-here.md";
  const AFTER_SAVE = 1500; // milliseconds that the server has to write the page
  const STYLE = `
    .${NAME} .jp-RenderedMarkdown table { table-layout: fixed; width: 100%; max-width: 66em; margin-left: 0; }
    .${NAME} .jp-RenderedMarkdown th:nth-child(2) { width: 5em; }
    .${NAME} .jp-RenderedMarkdown th:nth-child(3) { width: 8.5em; }
    .${NAME} .jp-RenderedMarkdown th:nth-child(4) { width: 14em; }
  `;

  const refresh = widget => {
    const context = widget && widget.context;
    if (!context || context.path !== PAGE) {
      return;
    }
    widget.addClass(NAME);
    // What somebody is writing into it stays.
    if (context.isReady && !context.model.dirty) {
      context.revert().catch(error => console.warn("The start page could not be read again.", error));
    }
  };

  const plugin = {
    id: `${NAME}:plugin`,
    description: "Keeps the start page fresh where it is open.",
    autoStart: true,
    activate: app => {
      const style = document.createElement("style");
      style.textContent = STYLE;
      document.head.append(style);
      const refreshAll = () => Array.from(app.shell.widgets("main")).forEach(refresh);
      app.restored.then(refreshAll);
      app.shell.currentChanged.connect((_, change) => refresh(change.newValue));
      app.serviceManager.contents.fileChanged.connect((_, change) => {
        const saved = change.newValue && change.newValue.path;
        if (change.type === "save" && saved && saved.endsWith(".ipynb")) {
          setTimeout(refreshAll, AFTER_SAVE);
        }
      });
    },
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: () => {},
    get: () => Promise.resolve(() => ({ __esModule: true, default: [plugin] })),
  };
})();
