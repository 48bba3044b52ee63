#!/bin/sh
# Builds the image of the Dockerfile on a machine without Docker, over a Debian that debootstrap makes. Needs root.
# The image is for tests and for air-gapped plants: it takes packages from Debian and from a Python index, and none from a
# registry of images. To use another index, write /etc/pip.conf.
set -eu
cd "$(dirname "$0")/../.."
[ "$(id -u)" = 0 ] || { echo "deploy/containers/image.sh: needs root: type sudo make image" >&2; exit 2; }
if ! command -v buildah >/dev/null || ! command -v debootstrap >/dev/null; then
    apt-get install --yes --no-install-recommends buildah debootstrap >/dev/null
fi
suite=$(sed -n 's/^ARG PYTHON=.*-slim-\([a-z]*\)@.*/\1/p' deploy/containers/Dockerfile)
base=$suite-debootstrap
if ! buildah inspect --type image "localhost/python:$base" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates "$suite" "$folder" >/dev/null
    ln -s python3 "$folder/usr/bin/python"
    container=$(buildah from scratch)
    cp -a "$folder/." "$(buildah mount "$container")/"
    buildah commit --quiet --rm "$container" "localhost/python:$base" >/dev/null
fi
set --
for path in /etc/pip.conf /etc/ssl/certs; do # as this machine has them: a plant may have an index and authorities of its own
    [ ! -e $path ] || set -- "$@" --volume "$path:$path:ro"
done
buildah build --quiet --format docker --isolation chroot --network host --pull=never --build-arg "PYTHON=$base" "$@" \
    --file deploy/containers/Dockerfile --tag edge-inspector:local .
echo "built localhost/edge-inspector:local. To load it elsewhere: buildah push edge-inspector:local docker-archive:image.tar"
