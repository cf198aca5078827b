#!/bin/sh
# Builds function.zip: one static program, named bootstrap, for Linux.
set -eu
[ -f go.mod ] || { go mod init function && go get github.com/aws/aws-lambda-go/lambda; }
CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -tags lambda.norpc -o bootstrap .
zip -q function.zip bootstrap
echo "function.zip is ready: drop it on the function's page in Kiln."
