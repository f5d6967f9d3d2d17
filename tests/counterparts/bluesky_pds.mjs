// Bluesky's own server for people's data (PDS) and the directory of who is where (PLC), on loopback.
// Settings: `port` and `plc_port`, both free; `aliases`, which says where addresses on the internet are here. Says: `url`, which is its OAuth issuer, `plc_url`, and `folder`,
// where its databases are.
import { Secp256k1Keypair } from '@atproto/crypto'
import * as pds from '@atproto/pds'
import plc from '@did-plc/server'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ready, settings } from './test_process.mjs'

const folder = mkdtempSync(join(tmpdir(), 'hp-pds-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const { port, plc_port, aliases } = settings
const { fetch } = globalThis
globalThis.fetch = (input, init) => {
  const [there, here] = Object.entries(aliases).find(([there]) => String(input.url ?? input).startsWith(there)) ?? []
  if (!there) return fetch(input, init)
  return fetch(String(input.url ?? input).replace(there, here), { redirect: init?.redirect })
}

const plcUrl = `http://localhost:${plc_port}`
await plc.PlcServer.create({ db: plc.Database.mock(), port: plc_port }).start()

const key = await Secp256k1Keypair.create({ exportable: true })
const nowhere = { url: 'http://localhost:1', did: 'did:example:nobody' }
const environment = {
  devMode: true,
  disableSsrfProtection: true,
  hostname: 'localhost',
  port,
  dataDirectory: folder,
  blobstoreDiskLocation: join(folder, 'blobs'),
  recoveryDidKey: key.did(),
  plcRotationKeyK256PrivateKeyHex: Buffer.from(await key.export()).toString('hex'),
  adminPassword: 'of a test',
  jwtSecret: 'of a test',
  inviteRequired: false,
  didPlcUrl: plcUrl,
  serviceHandleDomains: ['.test'],
  bskyAppViewUrl: nowhere.url,
  bskyAppViewDid: nowhere.did,
  modServiceUrl: nowhere.url,
  modServiceDid: nowhere.did,
}
const server = await pds.PDS.create(pds.envToCfg(environment), pds.envToSecrets(environment))
await server.start()
ready({ url: `http://localhost:${port}`, plc_url: plcUrl, folder })
