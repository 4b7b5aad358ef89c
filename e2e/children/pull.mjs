// Runs as a Node of its own on a disk that is too small. argv: IMAGE. Prints the error as JSON.
import { runContainer } from '@ctr/runtime';

try {
  await runContainer(process.argv[2], ['true']).result();
  process.stdout.write('{"code":"none"}');
} catch (error) {
  process.stdout.write(JSON.stringify({ name: error.name, code: error.code, hint: error.hint, message: error.message }));
}
