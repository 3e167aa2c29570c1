"""Jupyter's settings in the course's container, whatever starts it there: JupyterLab, a hub's spawner, or Binder."""

from trainloop.learner.container import settings

c = get_config()  # type: ignore[name-defined]  # noqa: F821  (traitlets hands it in)

for name, value in settings().items():
    owner, trait = name.split(".")
    c[owner][trait] = value
