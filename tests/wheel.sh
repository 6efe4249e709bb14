#!/bin/sh
# Proves the packaging: builds the wheel, installs it into a clean environment and runs a scenario
# from /, so that nothing can come from the checkout. Takes the bin folder of a virtual environment.
set -eu
bin=$(cd "$1" && pwd)
checkout=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$bin/python" -m hatchling build -t wheel -d "$work/dist"
"$bin/python" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --require-hashes --requirement "$checkout/tests/requirements.txt"
"$work/venv/bin/pip" install --quiet --no-deps "$work"/dist/*.whl
cd /
"$work/venv/bin/mxlab" scenario list
"$work/venv/bin/mxlab" export compose > "$work/compose.yaml"
cmp "$work/compose.yaml" "$checkout/compose/compose.yaml"
exec "$work/venv/bin/mxlab" run --backend process primary-outage
