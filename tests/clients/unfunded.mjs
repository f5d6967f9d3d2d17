// Takes out of package-lock.json here whom to fund, which npm notes as addresses: lock files are to have none.
import fs from 'node:fs'

const file = 'package-lock.json'
const lock = JSON.parse(fs.readFileSync(file))
for (const entry of Object.values(lock.packages)) delete entry.funding
fs.writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`)
