# SPDX-License-Identifier: Apache-2.0
# kneesynth in a container: any user, no network, nothing written but the output folder. See bundle/docs/routes/docker.md.
FROM python:3.11-slim-bookworm

# Address of the index with the PyTorch wheels to take: those for the processor alone make the image gigabytes smaller.
ARG TORCH_WHEELS=

WORKDIR /opt/kneesynth
COPY .ci/constraints.txt .ci/constraints.txt
# torch first and alone, as in the Makefile: any other package that asks for it would bring the newest CUDA build.
RUN pip install --no-cache-dir ${TORCH_WHEELS:+--extra-index-url "$TORCH_WHEELS"} -c .ci/constraints.txt setuptools torch
COPY pyproject.toml LICENSE ./
COPY scripts scripts
COPY bundle bundle
RUN pip install --no-cache-dir --no-build-isolation -c .ci/constraints.txt -e . && python -m compileall -q scripts

ENV PYTHONDONTWRITEBYTECODE=1
USER 12345:12345
HEALTHCHECK --interval=5m --timeout=2m CMD ["kneesynth", "selftest"]
ENTRYPOINT ["kneesynth"]
CMD ["synthesize", "--all"]
