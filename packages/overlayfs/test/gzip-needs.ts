import { host } from '@ctr/internal/testing';
import { pipelineDecompressors } from '../src/index.js';

const found = process.platform === 'linux' ? pipelineDecompressors() : undefined;
host.define('native-gzip', {
  test: () => found?.gzip !== undefined,
  cure: 'run on a Node that exports zlib and OpenSSL, as nodejs.org builds it',
});
host.define('isa-l', { test: () => found?.gzip === 'isa-l', cure: 'apt-get install libisal-dev, and build again' });
