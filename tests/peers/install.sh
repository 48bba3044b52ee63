#!/bin/sh
# Installs the npm packages that some tests talk to, where there is npm and they are missing.
set -u
cd "$(dirname "$0")" || exit 0
[ -f node_modules/node-snap7/build/Release/node_snap7.node ] && [ -d node_modules/sparkplug-payload ] && exit 0
if ! command -v npm >/dev/null 2>&1; then
    echo "no npm here: the tests against Snap7's server, with nodes7 and with sparkplug-payload will skip"
    exit 0
fi
npm ci --no-audit --no-fund >/dev/null 2>&1 ||
    echo "npm ci failed in tests/peers: the tests against Snap7's server, with nodes7 and with sparkplug-payload will skip"
exit 0
