#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Files, compression, cryptography, workers, timers.
cat >work.js <<'END'
const crypto = require('crypto'), fs = require('fs'), zlib = require('zlib');
const {Worker, isMainThread} = require('worker_threads');
let round = 0;
function work() {
  const rows = Array.from({length: 400}, (_, i) => ({key: 'k' + (i * 7919) % 97, value: [i, String(i)]}));
  rows.sort((a, b) => a.key.localeCompare(b.key));
  const text = JSON.stringify(rows).replace(/k(\d+)/g, (m, n) => n + m);
  const packed = zlib.gzipSync(text);
  zlib.gunzipSync(packed);
  crypto.createHash('sha256').update(text).digest('hex');
  crypto.pbkdf2Sync('secret', 'salt', 10, 32, 'sha512');
  crypto.createCipheriv('aes-128-cbc', Buffer.alloc(16), Buffer.alloc(16)).update(text);
  fs.writeFileSync('out', text);
  fs.readFile('out', () => {});
  fs.promises.stat('out').then(() => new TextDecoder().decode(Buffer.from(text)));
  new Intl.DateTimeFormat('de-DE').format(new Date(0));
  new URL('http://localhost:80/a?b=c#d');
  if (isMainThread && ++round % 200 === 1) new Worker(__filename).on('error', () => {});
  setTimeout(work, 0);
}
work();
END
exec /usr/bin/node work.js
