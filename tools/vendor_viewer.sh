#!/usr/bin/env bash
# Fetches the API reference viewer of one version from npm and keeps it compressed, as it is served.
# Usage: tools/vendor_viewer.sh VERSION   Needs npm and node.
set -euo pipefail
version=${1:?usage: tools/vendor_viewer.sh VERSION}
room=$(cd "$(dirname "$0")/../src/omnilab/helpcenter/viewer" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
(cd "$work" && npm pack --silent "openapi-explorer@$version" && tar xzf ./*.tgz)
node - "$work/package/dist/browser/openapi-explorer.min.js" "$room" <<'JS'
const { readFileSync, writeFileSync } = require("node:fs");
const { brotliCompressSync, constants, gzipSync } = require("node:zlib");
const [, , source, room] = process.argv;
const script = readFileSync(source);
const best = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 22 };
writeFileSync(`${room}/openapi-explorer.js.br`, brotliCompressSync(script, { params: best }));
writeFileSync(`${room}/openapi-explorer.js.gz`, gzipSync(script, { level: 9 }));
JS
cp "$work/package/LICENSE" "$room/LICENSE"
echo "sha256 of the script: $(gzip -dc "$room/openapi-explorer.js.gz" | sha256sum | cut -d' ' -f1)"
