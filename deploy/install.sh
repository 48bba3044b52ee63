#!/bin/sh
# Installs Edge Inspector as a service, from this checkout. Run it again for an update: configuration and history stay.
#
#   sudo deploy/install.sh [--ort cpu|gpu|none]   none: install onnxruntime yourself (Jetson), into /opt/edge-inspector
#   deploy/install.sh --dry-run                   prints what it would do, and does nothing
#   sudo deploy/install.sh --uninstall            keeps configuration and history
#   sudo deploy/install.sh --uninstall --purge    removes these and the user, too
#   DESTDIR=/stage deploy/install.sh              installs only the files, below /stage: for packages and images
#
# /opt/edge-inspector        program and models, root's        /etc/edge-inspector        station.toml, recipe.toml
# /var/lib/edge-inspector    outbox and history                /var/cache/edge-inspector  engines that TensorRT built
set -eu
umask 022 # root's own umask may be stricter, but the service must read these files

here=$(cd "$(dirname "$0")/.." && pwd)
root=${DESTDIR:-}
ort=cpu dry='' uninstall='' purge=''

usage() {
    sed -n '2,11s/^# \{0,1\}//p' "$0"
}

while [ $# -gt 0 ]; do
    case $1 in
        --ort)
            ort=${2:-}
            [ $# -gt 1 ] && shift
            ;;
        --dry-run) dry=yes ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            echo "install.sh: what is $1?" >&2
            usage >&2
            exit 2
            ;;
    esac
    shift
done
case $ort in cpu | gpu | none) ;; *)
    echo "install.sh: --ort is cpu, gpu or none" >&2
    exit 2
    ;;
esac
if [ -n "$purge" ] && [ -z "$uninstall" ]; then
    echo "install.sh: --purge goes with --uninstall only" >&2
    exit 2
fi
if [ -z "$dry$root" ] && [ "$(id -u)" != 0 ]; then
    echo "install.sh: run it as root, or with --dry-run, or with DESTDIR" >&2
    exit 1
fi

run() {
    if [ -n "$dry" ]; then echo "$*"; else "$@"; fi
}

# Only on the machine that will run the service, and not for an image in a folder.
on_this_machine() {
    [ -z "$root" ]
}

with_systemd() {
    on_this_machine && [ -d /run/systemd/system ]
}

tree() { # SOURCE TARGET
    run cp -R "$here/$1/." "$root$2/"
    run chmod -R a+rX "$root$2"
}

file() { # MODE SOURCE TARGET
    run install -D -m "$1" "$here/$2" "$root$3"
}

add_user() {
    on_this_machine || return 0
    getent group video >/dev/null || run groupadd --system video
    getent passwd edge-inspector >/dev/null ||
        run useradd --system --user-group --home-dir /var/lib/edge-inspector --no-create-home \
            --shell /usr/sbin/nologin edge-inspector
}

# Both wheels own the same folder. If the other one is installed, both are incomplete.
make_room_for_runtime() {
    case $ort in cpu) other=onnxruntime-gpu ;; gpu) other=onnxruntime ;; none) return 0 ;; esac
    ! /opt/edge-inspector/bin/pip show --quiet "$other" 2>/dev/null ||
        run /opt/edge-inspector/bin/pip uninstall --quiet --yes onnxruntime onnxruntime-gpu
}

pip() {
    run /opt/edge-inspector/bin/pip install --quiet --disable-pip-version-check --upgrade "$@"
}

add_program() {
    run install -d -m 0755 "$root/opt/edge-inspector" "$root/opt/edge-inspector/models"
    tree models /opt/edge-inspector/models
    on_this_machine || return 0
    [ -x /opt/edge-inspector/bin/python ] || run python3 -m venv /opt/edge-inspector
    extras=modbus
    [ "$ort" = none ] || extras=modbus,$ort
    make_room_for_runtime
    if [ "$ort" = cpu ]; then
        # Nothing that is not in the lock file, to the byte, runs as root. The wheel's builder is in another lock file.
        pip --require-hashes --requirement "$here/deploy/locks/build.txt"
        pip --require-hashes --requirement "$here/deploy/locks/cpu.txt"
        pip --no-deps --no-build-isolation --no-index --force-reinstall "$here"
    else
        pip --constraint "$here/constraints.txt" "${here}[$extras]"
    fi
    run ln -sfn /opt/edge-inspector/bin/edge-inspector /usr/local/bin/edge-inspector
}

add_system_files() {
    file 0644 systemd/edge-inspector.service /etc/systemd/system/edge-inspector.service
    file 0644 systemd/edge-inspector-forward.service /etc/systemd/system/edge-inspector-forward.service
    file 0644 deploy/60-edge-inspector-cameras.rules /etc/udev/rules.d/60-edge-inspector-cameras.rules
    file 0644 deploy/60-edge-inspector-cameras.conf /etc/sysctl.d/60-edge-inspector-cameras.conf
    file 0644 deploy/60-edge-inspector-journal.conf /etc/systemd/journald.conf.d/60-edge-inspector.conf
    [ "$ort" = cpu ] ||
        file 0644 systemd/gpu.conf /etc/systemd/system/edge-inspector.service.d/gpu.conf
    run install -d -m 0755 "$root/usr/share/doc/edge-inspector"
    tree docs /usr/share/doc/edge-inspector
    run rm -f "$root/usr/share/doc/edge-inspector/generate.py" "$root/usr/share/doc/edge-inspector/site_hooks.py"
}

# Never overwrite a file that somebody may have edited.
add_configuration() {
    # Set-group: the service can read files that root adds later, for example with `edge-inspector user add`.
    run install -d -m 2750 "$root/etc/edge-inspector"
    for name in station.toml recipe.toml; do
        [ -e "$root/etc/edge-inspector/$name" ] || file 0640 "deploy/$name" "/etc/edge-inspector/$name"
    done
    on_this_machine || return 0
    run chown -R root:edge-inspector /etc/edge-inspector
}

take_effect() {
    with_systemd || return 0
    run systemctl daemon-reload
    run systemctl restart systemd-journald
    run udevadm control --reload
    run sysctl --quiet --system
    run systemctl enable edge-inspector
}

install_all() {
    add_user
    add_program
    add_system_files
    add_configuration
    take_effect
    [ -n "$dry" ] && return
    cat <<'DONE'
Installed. Now:
  1. edit /etc/edge-inspector/station.toml and recipe.toml
  2. sudo -u edge-inspector edge-inspector check /etc/edge-inspector/station.toml
  3. sudo systemctl restart edge-inspector && systemctl status edge-inspector
DONE
}

uninstall_all() {
    for unit in edge-inspector edge-inspector-forward; do
        if with_systemd && [ -e /etc/systemd/system/$unit.service ]; then run systemctl disable --now $unit; fi
    done
    run rm -rf "$root/opt/edge-inspector" "$root/usr/share/doc/edge-inspector" \
        "$root/etc/systemd/system/edge-inspector.service.d"
    run rm -f "$root/etc/systemd/system/edge-inspector.service" "$root/usr/local/bin/edge-inspector" \
        "$root/etc/systemd/system/edge-inspector-forward.service" \
        "$root/etc/udev/rules.d/60-edge-inspector-cameras.rules" \
        "$root/etc/sysctl.d/60-edge-inspector-cameras.conf" \
        "$root/etc/systemd/journald.conf.d/60-edge-inspector.conf"
    if with_systemd; then run systemctl daemon-reload; fi
    [ -n "$purge" ] || return 0
    run rm -rf "$root/etc/edge-inspector" "$root/var/lib/edge-inspector" "$root/var/cache/edge-inspector"
    if on_this_machine && getent passwd edge-inspector >/dev/null; then run userdel edge-inspector; fi
}

if [ -n "$uninstall" ]; then uninstall_all; else install_all; fi
