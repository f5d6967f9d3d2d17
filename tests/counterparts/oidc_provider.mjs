// An OAuth 2.0 and OpenID Connect server that no one here wrote: npm oidc-provider, on a free port of loopback.
// Ours is only who signs in: whom login_hint names, who at once agrees to everything, unless it is `nobody`.
// Settings: `clients` as OpenID Connect registers them, and the ids of those who are not told their scopes, `untold`.
// Says: `url`, which is its issuer.
import { createServer } from 'node:http'
import Provider from 'oidc-provider'
import { ready, settings } from './test_process.mjs'

const server = createServer()
await new Promise((listening) => server.listen(0, '127.0.0.1', listening))
const url = `http://127.0.0.1:${server.address().port}`

const person = (ctx, id) => ({
  accountId: id,
  claims: () => ({ sub: id, preferred_username: id, name: `The name of ${id}`, picture: `${url}/${id}.png` }),
})

const provider = new Provider(url, {
  clients: settings.clients,
  claims: { openid: ['sub'], profile: ['name', 'preferred_username', 'picture'] },
  cookies: { keys: ['of a test'] },
  features: {
    devInteractions: { enabled: false },
    dPoP: { enabled: true, nonceSecret: Buffer.alloc(32), requireNonce: () => true },
    pushedAuthorizationRequests: { enabled: true },
    revocation: { enabled: true },
  },
  findAccount: person,
  interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  routes: { authorization: '/authorize', token: '/token', revocation: '/revoke', userinfo: '/me' },
})

async function interact(ctx) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(ctx.req, ctx.res)
  const answer = { login: { accountId: params.login_hint ?? 'somebody' } }
  if (params.login_hint === 'nobody') {
    answer.error = 'access_denied'
  } else if (prompt.name === 'consent') {
    const { Grant } = provider
    const grant = (await Grant.find(grantId)) ?? new Grant({ accountId: session.accountId, clientId: params.client_id })
    grant.addOIDCScope(params.scope)
    answer.consent = { grantId: await grant.save() }
  }
  ctx.redirect(await provider.interactionResult(ctx.req, ctx.res, answer, { mergeWithLastSubmission: true }))
}

// What was asked for, so that a test can tell that something was not.
const requests = []

provider.use(async (ctx, next) => {
  if (ctx.path === '/requests') ctx.body = requests
  else if (ctx.path.startsWith('/interaction/')) await interact(ctx)
  else {
    requests.push(`${ctx.method} ${ctx.path}`)
    await next()
    // RFC 6749, 5.1: a server may leave out the scopes when they are those that were asked for.
    if (settings.untold?.includes(ctx.oidc?.client?.clientId)) delete ctx.body?.scope
  }
})

server.on('request', provider.callback())
ready({ url })
