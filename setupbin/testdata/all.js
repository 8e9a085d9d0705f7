// Writes all-VERSION.bin and keep.bin beside itself, from all.csv, with the
// encoder of npm's meshcentral 1.1.55: node all.js path/to/amt-setupbin.js
const fs = require('fs'), path = require('path')
const codec = require(path.resolve(process.argv[2]))()
// The encoder calls two functions that its own project never defined outside of
// the browser: they turn a power package's digits into its bytes.
global.guidToStr = (digits) => digits
global.hex2rstr = (digits) => Buffer.from(digits, 'hex').toString('latin1')
const versions = [['1', 1, 1, 0], ['2', 2, 2, 0], ['2.1', 2, 2, 1], ['3', 3, 3, 0], ['4', 4, 4, 0]]
const order = versions.map((v) => v[0])
const rows = fs.readFileSync(path.join(__dirname, 'all.csv'), 'latin1').split('\n')
  .filter((l) => l && l[0] !== '#').map((l) => l.split(','))
const kinds = { '1/3': 1, '1/4': 1, '1/5': 1, '1/6': 4, '2/5': 1, '2/6': 1, '2/7': 1, '2/10': 1, '2/13': 1, '2/14': 1, '2/16': 1, '2/18': 2, '2/30': 3, '2/34': 3 }
for (let v = 23; v <= 29; v++) kinds['2/' + v] = 1

// value gives what the encoder wants: numbers for bytes, words and dwords, digits
// for a power package, else a string of bytes.
function value (id, hex) {
  const b = Buffer.from(hex, 'hex')
  switch (kinds[id]) {
    case 1: case 2: case 3: return String(b.readUIntLE(0, b.length))
    case 4: return hex
  }
  return b.toString('latin1')
}
function file (version, records, flags) {
  const [name, type, major, minor] = versions[order.indexOf(version)]
  const obj = codec.AmtSetupBinCreate(type, flags)
  obj.majorVersion = major
  obj.minorVersion = minor
  for (const n of records) {
    const variables = rows.filter((r) => (r[0] === '0' || r[0] === String(n)) && order.indexOf(r[3]) <= order.indexOf(name))
      .map((r) => ({ moduleid: +r[1], varid: +r[2], value: value(r[1] + '/' + r[2], r[4]) }))
    obj.records.push({ typeIdentifier: 1, flags: version === '4' ? 3 : 1, variables })
  }
  return Buffer.from(codec.AmtSetupBinEncode(obj), 'latin1')
}
for (const v of order) fs.writeFileSync(path.join(__dirname, 'all-' + v + '.bin'), file(v, [1, 2], 0))
fs.writeFileSync(path.join(__dirname, 'keep.bin'), file('2', [1], 1))
