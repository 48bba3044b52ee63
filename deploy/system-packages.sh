#!/bin/sh
# Installs missing system packages that some tests need, if this user may install packages.
set -u
missing=""
PATH="$PATH:/usr/sbin"
command -v mosquitto >/dev/null 2>&1 || missing="$missing mosquitto"
command -v mosquitto_sub >/dev/null 2>&1 || missing="$missing mosquitto-clients"
ldconfig -p 2>/dev/null | grep -q libaravis-0.8 || missing="$missing libaravis-0.8-0"
command -v arv-tool-0.8 >/dev/null 2>&1 || missing="$missing aravis-tools-cli"
command -v arv-fake-gv-camera-0.8 >/dev/null 2>&1 || missing="$missing aravis-tools"
command -v chromium >/dev/null 2>&1 || missing="$missing chromium"
command -v systemd-analyze >/dev/null 2>&1 || missing="$missing systemd"
command -v prometheus >/dev/null 2>&1 || missing="$missing prometheus"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -z "$missing" ] && exit 0
if ! command -v apt-get >/dev/null 2>&1; then
    echo "not installed here (no apt-get):$missing; tests that need them will skip"
    exit 0
fi
as_root=""
if [ "$(id -u)" != 0 ]; then
    if ! sudo -n true 2>/dev/null; then
        echo "not installed here (not root):$missing; tests that need them will skip"
        exit 0
    fi
    as_root="sudo -n"
fi
echo "installing:$missing"
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086
{ $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing; } >/dev/null 2>&1 ||
    echo "could not install:$missing; tests that need them will skip"
exit 0
