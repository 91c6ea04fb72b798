# zeroscale in a container; its servers run in other containers or in a cluster. More: docs/container.md.
#
#   docker build -t zeroscale --build-arg ZEROSCALE_COMMIT=$(git rev-parse HEAD) .

FROM python:3.13-slim AS build
ARG ZEROSCALE_COMMIT=
WORKDIR /src
COPY pyproject.toml setup.py README.md LICENSE constraints.txt ./
COPY zeroscale zeroscale
COPY twisted twisted
COPY systemd systemd
COPY share share
COPY docs docs
RUN python -m venv /opt/zeroscale && /opt/zeroscale/bin/pip install --no-cache-dir -c constraints.txt '.[docker,kubernetes]'

FROM python:3.13-slim
COPY --from=build /opt/zeroscale /opt/zeroscale
RUN useradd --system --uid 987 --home-dir /var/lib/zeroscale --no-create-home zeroscale \
    && install -d -o zeroscale -g zeroscale /var/lib/zeroscale /run/zeroscale /etc/zeroscale
# the control socket's directory, as under systemd
ENV PATH=/opt/zeroscale/bin:$PATH RUNTIME_DIRECTORY=/run/zeroscale
USER zeroscale
WORKDIR /var/lib/zeroscale
VOLUME /var/lib/zeroscale
EXPOSE 25565
HEALTHCHECK --interval=30s --timeout=10s --start-period=15s CMD ["zeroscalectl", "health"]
ENTRYPOINT ["zeroscale", "--state-directory", "/var/lib/zeroscale"]
CMD ["--config", "/etc/zeroscale/zeroscale.toml", "--info"]
