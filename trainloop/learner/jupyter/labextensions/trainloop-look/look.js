// Two things that JupyterLab and nbgrader leave to be desired, mended by a style alone.
//
// A JupyterLab extension as JupyterLab loads it, written by hand: it needs nothing that would have to be built.
(() => {
  const NAME = "trainloop-look";
  // Figures are light cards (trainloop/plots.py). On a dark page they would glare, so they are dimmed, and the contrast
  // within them is kept: as the web edition's theme does it, and our pages of feedback. Inverted they would contradict
  // their descriptions, in which what is darker is lower.
  //
  // In Validate's answer stand, for each cell that failed: a sentence, the source of the check, and what the check says.
  // The source is not the learner's, and would push what it says out of sight.
  const STYLE = `
    body[data-jp-theme-light="false"] .jp-OutputArea-output img {
      filter: brightness(0.8) contrast(1.2); border-radius: 4px;
    }
    #validation-message.validation-failed > div:nth-child(3n + 2) { display: none; }
    #validation-message.validation-failed > div:nth-child(3n) pre { border-left: 3px solid; }
  `;

  const plugin = {
    id: `${NAME}:plugin`,
    description: "Dims figures on a dark page, and lets nbgrader's Validate begin with the verdict.",
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
