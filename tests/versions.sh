#!/bin/sh
# Whether the simulation gives the same events on another version of Python: sh tests/versions.sh BIN
# (the folder of the virtual environment's programs). The other Python is that of OTHER=..., else of
# the Debian release SUITE, in a folder that mmdebstrap makes and takes away again.
set -eu
bin=$1
suite=${SUITE:-trixie}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cat > "$work/digests" <<'EOF'
set -eu
"$1" -m venv "$2"
"$2/bin/pip" install --quiet --require-hashes --requirement tests/requirements.txt
"$2/bin/pip" install --quiet --no-build-isolation --no-deps --editable .
echo "other: $("$2/bin/python" --version)" >&2
"$2/bin/python" tests/digests.py
EOF

git ls-files -z | tar --create --null --files-from - | (mkdir "$work/src" && tar --extract --directory "$work/src")
echo "this: $("$bin/python" --version)"
"$bin/python" tests/digests.py > "$work/this"
if [ "${OTHER:-}" ]; then
  (cd "$work/src" && sh "$work/digests" "$OTHER" "$work/venv") > "$work/other"
else
  cp "$work/digests" "$work/src/.digests"
  mmdebstrap --quiet --format=null --variant=apt --include=python3,python3-venv,ca-certificates \
    --customize-hook='mkdir "$1/src"' \
    --customize-hook="sync-in '$work/src' /src" \
    --customize-hook='upload /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt' \
    --customize-hook='chroot "$1" sh -c "cd /src && sh .digests python3 /venv > /digests"' \
    --customize-hook="download /digests '$work/other'" \
    "$suite" /dev/null
fi
diff "$work/this" "$work/other" && echo "the same events: $(wc -l < "$work/this") runs"
