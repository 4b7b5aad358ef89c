// The connection to systemd: its manager object on the system's or the user's D-Bus.
import type { EventEmitter } from 'node:events';
import { existsSync } from 'node:fs';
import { CtrError, errnoNumber, SyscallError, UnsupportedError } from '@ctr/internal/errors';
import type { Message, MessageBus } from '@jellybrick/dbus-next';

const NAME = 'org.freedesktop.systemd1';
const PATH = '/org/freedesktop/systemd1';
const MANAGER = 'org.freedesktop.systemd1.Manager';

/** systemd answers in milliseconds; a bus that does not answer at all is told from a slow one. */
const PATIENCE_MS = 25_000;

/** A request that systemd refused. Code CTR_SYSTEMD. */
export class SystemdError extends CtrError {
  /** The D-Bus name of the error, such as 'org.freedesktop.systemd1.UnitExists'. */
  readonly dbusName: string;

  constructor(doing: string, dbusName: string, text: string, hint?: string) {
    super('CTR_SYSTEMD', `${doing}: ${text} (${dbusName})`, { hint });
    this.dbusName = dbusName;
    this.name = 'SystemdError';
  }
}

const HINTS: Readonly<Record<string, string>> = {
  'org.freedesktop.systemd1.UnitExists': 'another scope has this name: end it, or take another name',
  'org.freedesktop.DBus.Error.AccessDenied': 'an ordinary user has a systemd of his own: leave bus out or set it to "user"',
  'org.freedesktop.DBus.Error.InteractiveAuthorizationRequired': 'an ordinary user has a systemd of his own: set bus to "user"',
  'org.freedesktop.DBus.Error.ServiceUnknown': 'systemd is not on this bus',
};

/** Which systemd: that of the system or that of the user. */
export type SystemdBus = 'system' | 'user';

/** sd_booted(3): whether systemd is the init system here. */
export const isSystemdBooted = (): boolean => existsSync('/run/systemd/system');

/** As runc: root speaks to the system's systemd, an ordinary user to his own. */
export const usualBus = (): SystemdBus => (process.geteuid?.() === 0 ? 'system' : 'user');

function addressOf(bus: SystemdBus): string {
  if (bus === 'system') return process.env['DBUS_SYSTEM_BUS_ADDRESS'] ?? 'unix:path=/run/dbus/system_bus_socket';
  const dir = process.env['XDG_RUNTIME_DIR'] ?? `/run/user/${process.getuid?.() ?? 0}`;
  return process.env['DBUS_SESSION_BUS_ADDRESS'] ?? `unix:path=${dir}/bus`;
}

const unreachable = (bus: SystemdBus, address: string, cause: unknown): UnsupportedError =>
  new UnsupportedError('the systemd driver', `a ${bus} D-Bus`, `none at ${address} (${(cause as Error).message})`, {
    cause,
    hint:
      bus === 'user' ? 'log in with a session of its own (loginctl enable-linger), or use the cgroupfs driver' : 'use the cgroupfs driver',
  });

/** One connection, for a few calls. */
export class SystemdManager {
  readonly bus: SystemdBus;
  readonly #connection: MessageBus;
  readonly #library: typeof import('@jellybrick/dbus-next');
  /** What has been heard of jobs, also before anybody asked. */
  readonly #results = new Map<string, string>();
  readonly #waiting = new Map<string, (result: string) => void>();

  private constructor(bus: SystemdBus, connection: MessageBus, library: typeof import('@jellybrick/dbus-next')) {
    this.bus = bus;
    this.#connection = connection;
    this.#library = library;
    // From here on a call that is under way fails by its time.
    quiet(connection);
    connection.on('message', (m: Message) => this.#hear(m));
  }

  /** Connects; the library is loaded at the first use. */
  static async connect(bus: SystemdBus): Promise<SystemdManager> {
    const library = await import('@jellybrick/dbus-next');
    const address = addressOf(bus);
    const connection = library.sessionBus({ busAddress: address });
    try {
      await within(
        `connect to the ${bus} D-Bus`,
        new Promise<void>((resolve, reject) => {
          events(connection).once('connect', () => resolve());
          events(connection).once('error', reject);
        }),
      );
    } catch (error) {
      disconnect(connection);
      throw unreachable(bus, address, error);
    }
    const manager = new SystemdManager(bus, connection, library);
    // The sender of a job is told of its end (job_send_removed_signal) once his connection listens.
    await manager.#call('org.freedesktop.DBus', '/org/freedesktop/DBus', 'org.freedesktop.DBus', 'AddMatch', 's', [
      `type='signal',interface='${MANAGER}',member='JobRemoved'`,
    ]);
    return manager;
  }

  /** Calls a method of the manager, and gives its first answer. */
  call(member: string, signature: string, body: unknown[], doing = member): Promise<unknown> {
    return this.#call(NAME, PATH, MANAGER, member, signature, body, doing);
  }

  /** A property as D-Bus wants it: a name and a value with its type. */
  property(name: string, type: string, value: unknown): [string, unknown] {
    return [name, new this.#library.Variant(type, value)];
  }

  /** Calls a method that begins a job, and waits for its end. */
  async job(member: string, signature: string, body: unknown[], doing: string): Promise<void> {
    const job = String(await this.call(member, signature, body, doing));
    const result = this.#results.get(job) ?? (await within(doing, new Promise<string>((resolve) => this.#waiting.set(job, resolve))));
    this.#results.delete(job);
    this.#waiting.delete(job);
    if (result !== 'done') throw new SystemdError(doing, 'org.freedesktop.systemd1.JobFailed', `the job ended with "${result}"`);
  }

  close(): void {
    disconnect(this.#connection);
  }

  #hear(m: Message): void {
    if (m.member !== 'JobRemoved' || m.interface !== MANAGER) return;
    const [, path, , result] = m.body as [number, string, string, string];
    this.#results.set(path, result);
    this.#waiting.get(path)?.(result);
  }

  async #call(destination: string, path: string, iface: string, member: string, signature: string, body: unknown[], doing = member) {
    const message = new this.#library.Message({ destination, path, interface: iface, member, signature, body });
    try {
      return (await within(doing, this.#connection.call(message)))?.body[0];
    } catch (error) {
      const { type, text } = error as { type?: string; text?: string };
      if (type === undefined) throw error;
      throw new SystemdError(doing, type, text ?? '', HINTS[type]);
    }
  }
}

/** 'error' is not among the events that its types know. */
const events = (connection: MessageBus): EventEmitter => connection as unknown as EventEmitter;

/** A failure is told by the call that it ends, not by a crash. */
const quiet = (connection: MessageBus): void => void events(connection).on('error', () => undefined);

function disconnect(connection: MessageBus): void {
  quiet(connection);
  try {
    connection.disconnect();
  } catch {
    // It never was connected.
  }
}

const timedOut = (doing: string): SyscallError =>
  new SyscallError(
    { errno: errnoNumber('ETIMEDOUT'), syscall: 'poll', doing },
    { hint: `systemd did not answer within ${PATIENCE_MS / 1000} s` },
  );

async function within<T>(doing: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(timedOut(doing)), PATIENCE_MS);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}
