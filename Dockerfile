# One image for migrate, api and worker: docker-compose.yml says which is which.
FROM python:3.12-slim

# torch.compile wants a C++ compiler at run time; without one it is left out, and reports say so.
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --uid 10001 --create-home sieve \
    && install --directory --owner sieve --group sieve /data

WORKDIR /app

# Packages first: this layer is built anew only when the lock changes. A mirror: --build-arg PIP_INDEX_URL=...
ARG PIP_INDEX_URL
COPY requirements.lock pyproject.toml README.md LICENSE ./
COPY deploy/setup.sh deploy/
COPY sieve/__init__.py sieve/
RUN deploy/setup.sh && rm -rf ~/.cache

COPY . .

ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1 SIEVE_HOME=/data
USER sieve
VOLUME /data
EXPOSE 8420
CMD ["python", "-m", "api", "--host", "0.0.0.0", "--port", "8420"]
