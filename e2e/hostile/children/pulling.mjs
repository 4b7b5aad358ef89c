// Runs as a Node of its own on a disk that fails, see faulty-disk.c. argv: IMAGE. Pulls, unpacks and runs it; prints what came of it.
import { runContainer } from '@ctr/runtime';

try {
  process.stdout.write(JSON.stringify({ said: (await runContainer(process.argv[2]).result()).stdout }));
} catch (error) {
  const all = [];
  for (let e = error; e; e = e.cause) all.push(`${e.code} ${e.message}`);
  process.stdout.write(JSON.stringify({ name: error.name, code: error.code, all: all.join('; ') }));
}
