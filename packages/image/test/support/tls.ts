// Certificates, a token server, and what docker-registry is told of both.
import { execFileSync } from 'node:child_process';
import { createSign, randomUUID, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { host } from '@ctr/internal/testing';

host.define('openssl', { test: () => execFileSync('openssl', ['version']).length > 0, cure: 'apt-get install openssl' });

export interface KeyPair {
  cert: string;
  key: string;
}

/** A certificate that nobody vouches for. */
export function certificate(dir: string, name: string, ...more: string[]): KeyPair {
  const [cert, key] = [path.join(dir, `${name}.crt`), path.join(dir, `${name}.key`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name},IP:127.0.0.1`];
  execFileSync(
    'openssl',
    ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-keyout', key, '-out', cert, ...subject, ...more],
    { stdio: 'ignore' },
  );
  return { cert, key };
}

export interface TokenServer {
  origin: string;
  /** Who asked for what, such as `alice repository:a/b:pull`. */
  asked: string[];
  stop(): void;
}

/** May this user do this? Undefined for everything. */
export type Allows = (user: string, repository: string, action: string) => boolean;

/** Gives tokens to alice and bob, in the form that docker-registry verifies. Passwords: wonderland, builder. */
export async function tokenServer(tls: KeyPair, allows: Allows = () => true): Promise<TokenServer> {
  const asked: string[] = [];
  const x5c = [new X509Certificate(readFileSync(tls.cert)).raw.toString('base64')];
  const users = new Map(['alice:wonderland', 'bob:builder'].map((u) => [`Basic ${Buffer.from(u).toString('base64')}`, u.split(':')[0]]));
  const server = createServer((req, res) => {
    const url = new URL(req.url ?? '', 'http://x');
    const user = users.get(req.headers.authorization ?? '');
    asked.push(`${req.headers.authorization ? 'with password' : 'anonymous'} ${url.searchParams.getAll('scope').join()}`);
    if (user === undefined) return res.writeHead(401).end();
    const now = Math.floor(Date.now() / 1000);
    const access = url.searchParams.getAll('scope').map((scope) => {
      const [type, name = '', actions = ''] = scope.split(':');
      return { type, name, actions: actions.split(',').filter((action) => allows(user, name, action)) };
    });
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
    const claims = {
      iss: 'test-issuer',
      sub: user,
      aud: 'test-service',
      exp: now + 300,
      nbf: now - 60,
      iat: now,
      jti: randomUUID(),
      access,
    };
    const signed = `${part({ typ: 'JWT', alg: 'RS256', x5c })}.${part(claims)}`;
    const signature = createSign('sha256').update(signed).sign(readFileSync(tls.key)).toString('base64url');
    return res.end(JSON.stringify({ token: `${signed}.${signature}`, expires_in: 300 }));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, stop: () => void server.close() };
}

/** Lines for docker-registry's configuration, to follow its `http:` section. */
export const authConfig = (tls: KeyPair, tokens: TokenServer): string =>
  `  tls:\n    certificate: ${tls.cert}\n    key: ${tls.key}\nauth:\n  token:\n    realm: ${tokens.origin}/token\n    service: test-service\n    issuer: test-issuer\n    rootcertbundle: ${tls.cert}\n`;
