#!/bin/sh
# Makes a base for the lab's image from Debian's packages, with no image registry, and writes it to
# standard output as a tar: Python, and the tools that a student types (dig, swaks, nc), nft and tc.
#   sh base-image.sh [SUITE [MIRROR]] | docker import - mxlab-base
# Needs mmdebstrap, and root or user namespaces.
set -eu
suite=${1:-bookworm}
mirror=${2:-} # Debian's own where none is named
drop() { printf '%s' "--dpkgopt=path-exclude=$1"; }

exec mmdebstrap --quiet --variant=minbase --format=tar \
  --include=python3,bind9-dnsutils,swaks,libnet-dns-perl,libnet-ssleay-perl,netcat-openbsd,nftables,iproute2 \
  --aptopt='Acquire::Languages "none"' --aptopt='Acquire::Retries "2"' \
  --aptopt='Acquire::http::Timeout "20"' --aptopt='APT::Install-Recommends "false"' \
  "$(drop '/usr/share/doc/*')" "$(drop '/usr/share/man/*')" "$(drop '/usr/share/info/*')" \
  "$(drop '/usr/share/locale/*')" \
  "$suite" - ${mirror:+"$mirror"}
