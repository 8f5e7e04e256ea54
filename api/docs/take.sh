#!/bin/sh
# Takes the script of the API reference from its npm package: api/docs/take.sh VERSION
set -eu
version=$1
here=$(cd "$(dirname "$0")" && pwd)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
npm pack --silent "@scalar/api-reference@$version" >/dev/null
tar xzf ./*.tgz
gzip -9nc package/dist/browser/standalone.js > "$here/reference.js.gz"
sha256sum package/dist/browser/standalone.js
