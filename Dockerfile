# docker build -t quire . && docker run -p 9092:9092 -v quire:/data quire
#
# The whole image is one static binary. `quire version` tells the commit from .git, or that of --build-arg COMMIT=....
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG COMMIT=
# Owned by the user below: a named volume takes the owner of what it is mounted over.
RUN make build ${COMMIT:+COMMIT=$COMMIT} && mkdir -m 0700 /data /empty

FROM scratch
COPY --from=build /src/bin/quire /quire
COPY --from=build --chown=65532:65532 /data /data
COPY --from=build --chown=65532:65532 /empty /tmp
USER 65532:65532
VOLUME /data
EXPOSE 9092 9644
ENV QUIRE_DATA_DIR=/data QUIRE_KAFKA_ADDR=0.0.0.0:9092 QUIRE_HTTP_ADDR=0.0.0.0:9644
STOPSIGNAL SIGTERM
ENTRYPOINT ["/quire"]
CMD ["serve"]
