#!/bin/sh
# Makes a base for an image from Debian's packages, with no image registry, and writes it to
# standard output as a tar. Unless other PACKAGES are named (with commas between), it is the lab's own:
# Python, and the tools that a student types (dig, swaks, nc), nft and tc; +PACKAGES come beside them.
#   sh base-image.sh [SUITE [MIRROR [PACKAGES]]] | docker import - mxlab-base
# Needs mmdebstrap, and root or user namespaces.
set -eu
suite=${1:-bookworm}
mirror=${2:-} # Debian's own where none is named
packages=python3,bind9-dnsutils,swaks,libnet-dns-perl,libnet-ssleay-perl,netcat-openbsd,nftables,iproute2
case ${3:-} in
'') ;;
+*) packages=$packages,${3#+} ;;
*) packages=$3 ;;
esac
drop() { printf '%s' "--dpkgopt=path-exclude=$1"; }

exec mmdebstrap --quiet --variant=minbase --format=tar \
  --include="$packages" \
  --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "2"' \
  --aptopt='Acquire::http::Timeout "20"' --aptopt='APT::Install-Recommends "false"' \
  "$(drop '/usr/share/doc/*')" "$(drop '/usr/share/man/*')" "$(drop '/usr/share/info/*')" \
  "$(drop '/usr/share/locale/*')" \
  "$suite" - ${mirror:+"$mirror"}
