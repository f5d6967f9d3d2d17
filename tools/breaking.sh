#!/bin/sh
# Compares the contract with its last state: the working tree against the newest commit whose protos differ
# from it. BUF is the buf program.
set -eu
cd "$(dirname "$0")/.."
for commit in $(git rev-list --max-count=200 HEAD -- protos); do
    if ! git diff --quiet "$commit" -- protos; then
        echo "comparing the contract with $(git rev-parse --short "$commit")"
        exec "$BUF" breaking --against ".git#ref=$commit"
    fi
done
echo "the contract has no earlier state to compare with"
