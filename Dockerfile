# Kiln in a container. The sandbox of rung A needs rights that a container lacks by default: see README, "In a container".
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -o /kiln .

FROM debian:bookworm-slim
RUN apt-get update -qq \
 && apt-get install -y -qq --no-install-recommends ca-certificates python3 curl postgresql-client \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /kiln /usr/local/bin/kiln
ENV KILN_DATA=/var/lib/kiln KILN_LISTEN=0.0.0.0:8080 KILN_GATEWAY_LISTEN=0.0.0.0:8081 KILN_CONSOLE_URL=http://127.0.0.1:8080
VOLUME /var/lib/kiln
EXPOSE 8080 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["kiln", "healthcheck"]
ENTRYPOINT ["kiln"]
CMD ["serve"]
