# The image of a job, of a Ray node on Kubernetes (KubeRay) and of `ray up` with a `docker` section.
#   docker build --tag nn-train:cpu .
#   docker build --tag nn-train:gpu --build-arg DEVICE=gpu .   # with CUDA, cuDNN and NCCL; the host gives the driver
#   docker run --name quick --network none --shm-size 2g nn-train:cpu
#   docker cp quick:/home/ray/results/. results                # the report: results/mnist_quick/report/report.html
# The base only has to bring Python 3.10 to 3.13 with pip and Debian's apt. rayproject/ray would bring a second Ray and
# a second Python environment beside the ones that are locked here, and a gigabyte more.
ARG BASE_IMAGE=python:3.11-slim-bookworm
FROM ${BASE_IMAGE}
ARG DEVICE=cpu

# `ray up` copies files by rsync, and its head reaches workers by ssh. Their versions are those of the Debian below.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends openssh-client rsync \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 ray

# requirements.lock also holds what develops and tests; pip checks the hashes of a whole file only, so what runs has a
# lock of its own for each device, at the same versions. Installed for everyone: a login shell, too, finds `ray`.
COPY requirements-${DEVICE}.lock /tmp/
RUN pip install --no-cache-dir --require-hashes -r /tmp/requirements-${DEVICE}.lock

# Owned by root: a job can write results and files beside the code, but not the code.
WORKDIR /home/ray
COPY jobs jobs
COPY nn_train nn_train
RUN install --directory --owner ray --group ray results
ENV PYTHONPATH=/home/ray PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0

# A number, because `runAsNonRoot` of Kubernetes cannot tell by a name.
USER 1000:1000
# No HEALTHCHECK: a job ends with its exit code, and a Ray node has KubeRay's probes; Kubernetes would ignore one.
CMD ["python", "-m", "jobs.pipeline", "--config", "mnist", "--quick"]
