package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"

	"golang.org/x/sys/unix"
)

// systemd's private socket refuses a peer whose pid it cannot see. So a copy
// of this program enters the container's pid namespace, connects there, hands
// the connection back and ends: "bench dial PATH", with a socket as fd 3.
const dialCommand = "dial"

// dialInside connects to the unix socket at path, a path of our own mount
// namespace, as a process of leader's pid namespace.
func dialInside(leader int, path string) (net.Conn, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket of "+dialCommand)
	defer theirs.Close()
	cmd := exec.Command("nsenter", "-t", strconv.Itoa(leader), "-p", "--", self, dialCommand, path)
	cmd.ExtraFiles = []*os.File{theirs}
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot connect to %s: %w: %s", path, err, out)
	}
	f, err := receiveFile(pair[0])
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return net.FileConn(f)
}

func receiveFile(socket int) (*os.File, error) {
	oob := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(socket, make([]byte, 1), oob, unix.MSG_CMSG_CLOEXEC|unix.MSG_DONTWAIT)
	if err != nil {
		return nil, os.NewSyscallError("recvmsg", err)
	}
	messages, err := unix.ParseSocketControlMessage(oob[:n])
	if err != nil || len(messages) != 1 {
		return nil, errors.New("the connection was not handed back")
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errors.New("the connection was not handed back")
	}
	return os.NewFile(uintptr(fds[0]), "connection"), nil
}

// dial is the other side of dialInside.
func dial(path string) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return os.NewSyscallError("connect", err)
	}
	return os.NewSyscallError("sendmsg", unix.Sendmsg(3, []byte{0}, unix.UnixRights(fd), nil, 0))
}
