// Two receivers as Momento's customers write them, in one process: /raw compares
// the signature of the raw body by ===, /parsed that of JSON.stringify(req.body),
// as after express.json(). It prints its address; a line of JSON on its standard
// input then gives it the secret of each path, which it confirms; and then it
// prints what it makes of each request: the verdict, the path, the message's
// number and the SHA-256 of its text. It ends with its standard input.
const crypto = require('crypto'), http = require('http'), readline = require('readline');
let secrets = {};
http.createServer((req, res) => {
  const parts = [];
  req.on('data', (part) => parts.push(part)).on('end', () => {
    const raw = Buffer.concat(parts);
    const body = JSON.parse(raw.toString('utf8'));
    const signed = req.url === '/raw' ? raw : JSON.stringify(body);
    const ok = crypto.createHmac('sha3-256', secrets[req.url]).update(signed).digest('hex') === req.headers['momento-signature'];
    const text = crypto.createHash('sha256').update(body.text).digest('hex');
    console.log([ok ? 'verified' : 'refused', req.url, body.topic_sequence_number, text].join(' '));
    res.writeHead(ok ? 200 : 401).end();
  });
}).listen(0, '127.0.0.1', function () { console.log('http://127.0.0.1:' + this.address().port); });
readline.createInterface({ input: process.stdin })
  .on('line', (line) => { secrets = JSON.parse(line); console.log('ready'); })
  .on('close', () => process.exit(0));
