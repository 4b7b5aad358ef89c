// Runs as a Node of its own, in surroundings that forbid something. Prints what checkHost() says about user namespaces, as JSON.
import { checkHost } from '@ctr/runtime';

process.stdout.write(JSON.stringify((await checkHost()).features['user namespaces']));
