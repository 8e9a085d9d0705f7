// Runs MeshCentral's codec for setup.bin (its path is the argument) on
// requests from standard input, a JSON object a line, and answers each with one.
// File contents and values of text are hexadecimal.
'use strict';
// The codec expects these three of the program that loads it.
global.rstr2hex = (s) => Buffer.from(s, 'latin1').toString('hex');
global.hex2rstr = (s) => Buffer.from(s, 'hex').toString('latin1');
global.guidToStr = (g) => {
  const part = (from, to) => g.substring(from, to);
  const swap = (from, to) => part(from, to).match(/../g).reverse().join('');
  return [swap(0, 8), swap(8, 12), swap(12, 16), part(16, 20), part(20, 32)].join('-');
};
const codec = require(process.argv[1])();

function decode(request) {
  const file = codec.AmtSetupBinDecode(hex2rstr(request.file));
  if (!file) return { refused: true };
  for (const record of file.records) {
    for (const v of record.variables) {
      if (typeof v.value === 'string' && v.type === 0) v.value = rstr2hex(v.value);
    }
  }
  return { file };
}

function encode(request) {
  const file = codec.AmtSetupBinCreate(request.version, request.flags);
  file.minorVersion = request.minor;
  file.dataRecordsConsumed = request.consumed;
  file.records = request.records;
  for (const record of file.records) {
    for (const v of record.variables) if (v.text) v.value = hex2rstr(v.text);
  }
  return { data: rstr2hex(codec.AmtSetupBinEncode(file)) };
}

// The most resident memory that this process ever had.
const peak = () => Number(/VmHWM:\s+(\d+)/.exec(require('fs').readFileSync('/proc/self/status', 'latin1'))[1]);

// Encodes many records as the measurement wants them, and tells what it took.
function measure(request) {
  const begun = process.hrtime.bigint();
  const file = codec.AmtSetupBinCreate(request.version, 0);
  for (let i = 0; i < request.count; i++) {
    const variable = (moduleid, varid, value) => ({ moduleid, varid, value });
    file.records.push({
      typeIdentifier: 1, flags: 1, variables: [
        variable(1, 1, 'admin'), variable(1, 2, request.password), variable(1, 3, 1), variable(2, 1, request.pid), variable(2, 2, request.pps),
      ],
    });
  }
  require('fs').writeFileSync(request.out, Buffer.from(codec.AmtSetupBinEncode(file), 'latin1'));
  return { seconds: Number(process.hrtime.bigint() - begun) / 1e9, kilobytes: peak() };
}

const acts = { decode, encode, measure };
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const request = JSON.parse(line);
  let answer;
  try { answer = acts[request.act](request); } catch (e) { answer = { error: e.name + ': ' + e.message }; }
  process.stdout.write(JSON.stringify(answer) + '\n');
});
