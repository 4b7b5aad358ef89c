# A seccomp agent as OCI means it: takes one connection after the other on the socket of its argument, prints the container's process
# state that comes with the listener, and answers: mkdir and mkdirat are EROFS, all else goes on. Ends when it is killed.
import array, fcntl, json, os, socket, struct, sys, threading

RECEIVE, SEND = 0xC0502100, 0xC0182101
CONTINUE = 1
EROFS = 30
MKDIR = {int(n) for n in sys.argv[2].split(",")}


def answer(listener):
    while True:
        notice = bytearray(80)
        try:
            fcntl.ioctl(listener, RECEIVE, notice)
            call, _, _, nr = struct.unpack_from("=QIIi", notice)
            refuse = nr in MKDIR
            fcntl.ioctl(listener, SEND, struct.pack("=QqiI", call, 0, -EROFS if refuse else 0, 0 if refuse else CONTINUE))
        except FileNotFoundError:
            # The caller is gone, or all that had the filter are: the next receive tells.
            if not bytes(notice).strip(b"\0"):
                os.close(listener)
                return


server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
server.bind(sys.argv[1])
server.listen(8)
print("listening", flush=True)
while True:
    connection, _ = server.accept()
    data, fds, _, _ = socket.recv_fds(connection, 65536, 8)
    rest = connection.recv(1)
    print(json.dumps({"state": json.loads(data), "fds": len(fds), "more": len(rest)}), flush=True)
    connection.close()
    threading.Thread(target=answer, args=(fds[0],), daemon=True).start()
