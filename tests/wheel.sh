#!/bin/sh
# Proves the packaging: builds the wheel, installs it into a clean environment and runs a scenario
# from /, so that nothing can come from the checkout. The environment has what the wheel asks for and
# no more, in the oldest releases that it allows: without the extra `chaos`, which is tried after.
# Takes the bin folder of a virtual environment.
set -eu
bin=$(cd "$1" && pwd)
checkout=$(pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
new=$work/venv/bin
"$bin/python" -m hatchling build -t wheel -d "$work/dist"
"$bin/python" -m venv "$work/venv"
"$new/pip" install --quiet --require-hashes --requirement "$checkout/tests/oldest.txt"
"$new/pip" install --quiet --no-deps "$work"/dist/*.whl
"$new/pip" check
cd /
"$new/mxlab" scenario list
"$new/mxlab" export compose > "$work/compose.yaml"
cmp "$work/compose.yaml" "$checkout/compose/compose.yaml"
"$new/mxlab" run --backend process primary-outage
code=0
"$new/mxlab" chaos --runs 5 2> "$work/said" || code=$?
cat "$work/said"
test "$code" = 3
grep --quiet --fixed-strings "mxlab[chaos]" "$work/said"
"$new/pip" install --quiet --require-hashes --requirement "$checkout/tests/requirements.txt"
"$new/mxlab" chaos --runs 20 --seed 7 --jobs 1 --out "$work/chaos.yaml"
