# One image: for a single learner, for a JupyterHub (DockerSpawner, KubeSpawner), for a devcontainer, and for Binder.
# docs/container.md tells how each uses it. It builds in a clone as in a student edition, and holds the same in both:
# .dockerignore lets in what students get, and nothing else.
ARG BASE=docker.io/library/python:3.12.8-slim-bookworm
FROM ${BASE}

# Where to find PyTorch's CPU build, as for pip: without it, the usual package brings several gigabytes for NVIDIA GPUs.
ARG PIP_FIND_LINKS=""
# What a hub starts in the image; its major version has to be the hub's own.
ARG JUPYTERHUB=6.1.1
# The names and the number that Binder expects.
ARG NB_USER=learner
ARG NB_UID=1000

WORKDIR /opt/course
# What the course stands on, first: a change of a lesson does not install it again.
COPY pyproject.toml README.md ./
COPY tools/uv tools/uv
RUN sh tools/uv sync --no-dev --no-install-project --no-cache
COPY . .
RUN sh tools/uv sync --no-dev --no-cache \
 && sh tools/uv pip install --python .venv --no-cache "jupyterhub==${JUPYTERHUB}" \
 && rm -rf .tools \
 && useradd --uid "${NB_UID}" --create-home --shell /bin/bash "${NB_USER}"

ENV PATH=/opt/course/.venv/bin:$PATH \
    HOME=/home/${NB_USER} \
    JUPYTER_CONFIG_PATH=/opt/course/trainloop/learner/jupyter:/opt/course/trainloop/learner/jupyter/container \
    PYTHONSTARTUP=/opt/course/trainloop/learner/jupyter/startup.py \
    TRAINLOOP_COURSE=/opt/course

USER ${NB_UID}
# The working copy of the lessons is made in the home's folder `work` when Jupyter starts: mount a volume there, or
# on the home, and the work outlives the container.
WORKDIR /home/${NB_USER}
EXPOSE 8888
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
