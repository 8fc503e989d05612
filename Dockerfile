# One file, one image per service: `docker build --target agent .` installs only what the agent's lock file names.
FROM python:3.11-slim AS base
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LOG_FORMAT=json
WORKDIR /app
RUN useradd --system --uid 10001 --home-dir /app telemetry \
 && install --directory --owner telemetry /var/lib/telemetry
COPY requirements/ requirements/

# The agent reads root's files under /var/log/pods and keeps its checkpoint in /var/lib/telemetry.
FROM base AS agent
RUN pip install --no-cache-dir --require-hashes -r requirements/agent.lock
COPY pipeline/ pipeline/
COPY fluentd/ fluentd/
ENV AGENT_STATE=/var/lib/telemetry/agent QUEUE_URL=sqlite:////var/lib/telemetry/queue/queue.db AGENT_LISTEN=:8090
EXPOSE 8090
CMD ["python", "-m", "fluentd"]

FROM base AS logger
RUN pip install --no-cache-dir --require-hashes -r requirements/logger.lock
COPY pipeline/ pipeline/
COPY logger/ logger/
ENV STORE_URL=/var/lib/telemetry/store QUEUE_URL=sqlite:////var/lib/telemetry/queue/queue.db
USER telemetry
EXPOSE 8088
CMD ["python", "-m", "logger"]

FROM base AS monitor
RUN pip install --no-cache-dir --require-hashes -r requirements/monitor.lock
COPY pipeline/ pipeline/
COPY monitor/ monitor/
ENV STORE_URL=/var/lib/telemetry/store QUEUE_URL=sqlite:////var/lib/telemetry/queue/queue.db MONITOR_LISTEN=:8089
USER telemetry
EXPOSE 8089
CMD ["python", "-m", "monitor"]

# Containers that write log files as kubelet and containerd do, for a look without Kubernetes.
FROM base AS demo
RUN pip install --no-cache-dir --require-hashes -r requirements/monitor.lock
COPY pipeline/ pipeline/
COPY demo/ demo/
CMD ["python", "-m", "demo"]
