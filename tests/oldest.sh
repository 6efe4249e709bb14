#!/bin/sh
# Whether mxlab works with the oldest release of each library that it allows (tests/oldest.txt; all
# else runs with the newest): sh tests/oldest.sh BIN [pytest's arguments, for the whole suite say tests].
# BIN is the folder of a virtual environment's programs. By default what touches the libraries most,
# in the simulation, over loopback, and with one lab of each real kind.
set -eu
bin=$1
shift
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/python" -m venv "$work/venv"
for pins in requirements oldest; do
  "$work/venv/bin/pip" install --quiet --require-hashes --requirement "tests/$pins.txt"
done
"$work/venv/bin/pip" install --quiet --no-build-isolation --no-deps --editable .
"$work/venv/bin/pip" check # before what is installed without its own needs
"$work/venv/bin/pip" install --quiet --require-hashes --no-deps --requirement tests/page.txt
"$work/venv/bin/pip" list --format freeze | grep -iE '^(aiosmtpd|aiosmtplib|dnslib|docker)='
tests() { "$work/venv/bin/pytest" -q -p no:cacheprovider -n auto --dist worksteal "$@"; }
if [ $# -gt 0 ]; then
  tests -m 'not bench' "$@"
else
  tests -m 'not long and not docker' tests/unit/smtp tests/unit/relay tests/unit/dns tests/unit/submit \
    tests/unit/backends tests/dialogs tests/rules
  tests -k 'test_mail_flows' tests/contract/test_backends.py
fi
