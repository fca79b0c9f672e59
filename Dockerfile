# SPDX-License-Identifier: Apache-2.0
# kneesynth in a container: any user, no network, nothing written but the output folder. See bundle/docs/routes/docker.md.
FROM python:3.11-slim-bookworm

# PyTorch's wheels without CUDA. For a GPU: --build-arg TORCH_WHEELS=<those of the CUDA version of its driver>
ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu

WORKDIR /opt/kneesynth
COPY .ci/constraints.txt .ci/constraints.txt
# torch first and alone, as in the Makefile: any other package that asks for it would bring the newest CUDA build.
RUN pip install --no-cache-dir --extra-index-url "$TORCH_WHEELS" -c .ci/constraints.txt setuptools torch
COPY pyproject.toml LICENSE ./
COPY scripts scripts
COPY bundle bundle
RUN pip install --no-cache-dir --no-build-isolation -c .ci/constraints.txt -e . && python -m compileall -q scripts

ENV PYTHONDONTWRITEBYTECODE=1
USER 12345:12345
HEALTHCHECK --interval=5m --timeout=2m CMD ["kneesynth", "selftest"]
ENTRYPOINT ["kneesynth"]
CMD ["synthesize", "--all"]
