// How a test and its counterpart talk: settings are the first line of stdin, what the counterpart says of itself
// is one line of stdout. It ends when stdin does, so none outlives its test.
import { createInterface } from 'node:readline'

const lines = createInterface({ input: process.stdin })
lines.once('close', () => process.exit())

export const settings = JSON.parse(await new Promise((resolve) => lines.once('line', resolve)))

export const ready = (said) => process.stdout.write(`${JSON.stringify(said)}\n`)
