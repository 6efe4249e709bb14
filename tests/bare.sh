#!/bin/sh
# Proves the README's two commands on a newcomer's machine: a minimal Debian with python3 and make and
# nothing else, made by mmdebstrap (as root), once with this machine's Docker engine and once without.
#   sh tests/bare.sh [engine|alone]...        (SUITE=bookworm; DOCKER_SOCKET=/var/run/docker.sock; MARKS: see make)
# Of this machine it has the kernel, the network, and the certificates by which pip reaches its packages.
set -eu
suite=${SUITE:-bookworm}
socket=${DOCKER_SOCKET:-/var/run/docker.sock}
certificates=/etc/ssl/certs/ca-certificates.crt bundle=/etc/host-certificates.crt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

say() { printf '\n=== bare %s: %s\n' "$suite" "$*"; }

# inside ROOT USER COMMAND: run it there, with mounts and processes that end with it.
inside() {
  root=$1 user=$2 command=$3
  unshare --mount --pid --fork --kill-child sh -euc '
    mount --bind "$1" "$1" # a mount point, as the root of a machine is
    mount --rbind /dev "$1/dev"
    mount -t proc proc "$1/proc"
    mount -t tmpfs tmpfs "$1/run"
    if [ "$4" ]; then touch "$1/run/docker.sock"; mount --bind "$4" "$1/run/docker.sock"; fi
    exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 \
      PIP_CERT="$5" PIP_DISABLE_PIP_VERSION_CHECK=1 CI="$6" \
      chroot --userspec="$2:$2" "$1" sh -euc "cd ~$2/mxlab; export HOME=~$2; $3"
  ' sh "$root" "$user" "$command" "$engine" "$bundle" "${CI:-}"
}

# fresh ROOT: a machine as a newcomer has it, and a clone in the home of root and of a student.
fresh() {
  mkdir "$1"
  tar --extract --file "$work/base.tar" --directory "$1"
  cp -L /etc/resolv.conf "$1/etc/resolv.conf"
  install -m 0644 "$certificates" "$1$bundle"
  chroot "$1" useradd --create-home student
  for home in root home/student; do
    mkdir "$1/$home/mxlab"
    git ls-files -z | tar --create --null --files-from - | tar --extract --directory "$1/$home/mxlab"
  done
  chroot "$1" chown -R student: /home/student
  chmod 0755 "$1/root"
}

say "making it"
mmdebstrap --quiet --variant=minbase --include=python3,make --format=tar \
  --aptopt='Acquire::Retries "3"' "$suite" "$work/base.tar"

[ $# -gt 0 ] || set -- engine alone
for kind; do
  case $kind in
    engine) engine=$socket world=docker ;;
    alone) engine='' world=process ;;
    *) echo "usage: sh tests/bare.sh [engine|alone]..." >&2; exit 2 ;;
  esac
  root="$work/$kind"
  fresh "$root"
  if [ "$kind" = alone ]; then
    say "an ordinary user, who may install nothing, is told what is missing"
    if inside "$root" student 'make demo' > "$work/said" 2>&1; then
      echo "make demo passed without python3-venv?"
      exit 1
    fi
    grep "apt-get install python3-venv" "$work/said"
  fi
  say "$kind: make demo"
  inside "$root" root 'make demo' > "$work/said" 2>&1 || { cat "$work/said"; exit 1; }
  cat "$work/said"
  grep -q "on $world" "$work/said" || { echo "that was not on $world"; exit 1; }
  say "$kind: make test"
  inside "$root" root "make test MARKS='${MARKS:-not bench}'"
  if [ "$kind" = alone ]; then
    say "an ordinary user: make demo"
    inside "$root" student 'make demo'
  fi
  rm -rf "$root"
done
