# The image of every task, of the scheduler and of the command line. Debian 13 has the C runtime (glibc 2.41) that the
# wheels of ML Metadata and TensorFlow Data Validation need (2.39 or newer). docs/kubernetes.md adds Java and Spark.
FROM python:3.11-slim-trixie AS base

# ---- the locked packages: this layer changes with requirements.lock only ----
FROM base AS packages
ENV UV_LINK_MODE=copy UV_NO_CACHE=1 UV_PYTHON=/opt/twostep/bin/python
WORKDIR /build
COPY requirements.lock ./
# uv and setuptools, which builds the few packages that come as source, have the versions and hashes of the lock.
RUN python -m venv /opt/twostep \
    && sed -n -e '/^uv==/,/[^\\]$/p' -e '/^setuptools==/,/[^\\]$/p' requirements.lock > tools.txt \
    && /opt/twostep/bin/pip install --no-cache-dir --no-deps --require-hashes --requirement tools.txt \
    && /opt/twostep/bin/uv pip sync --require-hashes --no-build-isolation requirements.lock
# A file of a package that is no valid Python, such as a template, is no failure.
RUN /opt/twostep/bin/python -m compileall -qq -j 0 /opt/twostep/lib || true

# ---- the product ----
FROM packages AS product
COPY setup.py pyproject.toml README.md LICENSE ./
COPY core ./core
COPY transform ./transform
COPY trainer ./trainer
COPY serving ./serving
COPY components ./components
COPY pipeline ./pipeline
# Into a folder of its own, so that a change of the product leaves the layer of the packages, of 3 GB, as it was.
RUN /opt/twostep/bin/uv pip install --no-deps --no-build-isolation --compile-bytecode \
        --target /opt/product/lib/python3.11/site-packages . \
    && mv /opt/product/lib/python3.11/site-packages/bin /opt/product/bin

# ---- what runs ----
FROM base AS image
# implicit needs the runtime of OpenMP.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin twostep
COPY --from=packages /opt/twostep /opt/twostep
COPY --from=product /opt/product /opt/twostep
ENV PATH=/opt/twostep/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /data
USER 10001:10001
HEALTHCHECK --interval=60s --timeout=10s --start-period=10s CMD ["twostep", "--version"]
ENTRYPOINT ["twostep"]
CMD ["--help"]
