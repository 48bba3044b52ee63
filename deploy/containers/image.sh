#!/bin/sh
# Builds the image of the Dockerfile on a machine without Docker, over a Debian that debootstrap makes. Needs root.
# `image.sh arm64` builds it for another processor, whose programs qemu runs. That takes ten times as long.
# The image is for tests and for air-gapped plants: it takes packages from Debian and from a Python index, and none from a
# registry of images. To use another index, write /etc/pip.conf.
set -eu
cd "$(dirname "$0")/../.."
own=$(dpkg --print-architecture)
arch=${1:-$own}
[ "$(id -u)" = 0 ] || { echo "deploy/containers/image.sh: needs root: type sudo make image" >&2; exit 2; }
case $arch in
"$own") suffix="" qemu="" ;;
arm64) suffix=-arm64 qemu=qemu-aarch64-static ;;
*) echo "deploy/containers/image.sh: $arch: only $own and arm64 are known here" >&2; exit 2 ;;
esac
missing=""
for program in buildah debootstrap ${qemu:+"$qemu"}; do
    command -v "$program" >/dev/null || missing="$missing $program"
done
if [ -n "$missing" ]; then
    apt-get update -qq
    # shellcheck disable=SC2086
    apt-get install --yes -qq --no-install-recommends $(echo $missing | sed 's/qemu-aarch64-static/qemu-user-static/') >/dev/null
fi
binfmt=/proc/sys/fs/binfmt_misc
if [ -n "$qemu" ]; then
    # The kernel gives each program of the other processor to qemu, until the next start. F: also in another root folder.
    [ -e $binfmt/register ] || mount -t binfmt_misc binfmt_misc $binfmt
    [ -e $binfmt/qemu-aarch64 ] || printf '%s' ':qemu-aarch64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:F' >$binfmt/register
fi
suite=$(sed -n 's/^ARG PYTHON=.*-slim-\([a-z]*\)@.*/\1/p' deploy/containers/Dockerfile)
base=$suite-debootstrap$suffix
if ! buildah inspect --type image "localhost/python:$base" >/dev/null 2>&1; then
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    debootstrap --arch="$arch" --variant=minbase --include=python3,python3-venv,python3-pip,ca-certificates \
        "$suite" "$folder" >"$folder.log" || { tail -5 "$folder.log" >&2; exit 1; }
    rm "$folder.log"
    ln -s python3 "$folder/usr/bin/python"
    container=$(buildah from --arch "$arch" scratch)
    cp -ax "$folder/." "$(buildah mount "$container")/"
    buildah config --arch "$arch" "$container"
    buildah commit --quiet --rm "$container" "localhost/python:$base" >/dev/null
fi
set --
for path in /etc/pip.conf /etc/ssl/certs; do # as this machine has them: a plant may have an index and authorities of its own
    [ ! -e $path ] || set -- "$@" --volume "$path:$path:ro"
done
buildah build --quiet --format docker --arch "$arch" --isolation chroot --network host --pull=never \
    --build-arg "PYTHON=$base" "$@" --file deploy/containers/Dockerfile --tag "edge-inspector:local$suffix" .
echo "built localhost/edge-inspector:local$suffix. To load it elsewhere: buildah push edge-inspector:local$suffix docker-archive:image.tar"
