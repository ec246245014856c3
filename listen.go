package main

import (
	"errors"
	"net"
	"os"
	"strings"
)

// listenToken is what --listen asks for, "" for nothing. A file that holds none is
// a mistake: everything would be open that was meant to be shut.
func (r *runFlags) listenToken() (string, error) {
	if r.tokenFile == "" {
		return os.Getenv("CORRAL_LISTEN_TOKEN"), nil
	}
	text, err := os.ReadFile(r.tokenFile)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(text))
	if token == "" {
		return "", errors.New(r.tokenFile + " is empty")
	}
	return token, nil
}

// reachable reports whether other machines may reach an address.
func reachable(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && !tcp.IP.IsLoopback()
}
