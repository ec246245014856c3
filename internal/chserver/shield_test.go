package chserver

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"
)

// TestShieldHoldsBackWhoCannotBeAskedAbout: at the start the native port is there
// before the HTTP port, and an exception on a native connection ends the server.
func TestShieldHoldsBackWhoCannotBeAskedAbout(t *testing.T) {
	listen := func() net.Listener {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		return l
	}
	native, web := listen(), listen()
	_ = web.Close() // not there yet
	reached := make(chan struct{}, 1)
	go func() {
		if c, err := native.Accept(); err == nil {
			reached <- struct{}{}
			_ = c.Close()
		}
	}()
	client, server := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		shield{To: native.Addr().String(), HTTP: web.Addr().String()}.pass(server)
	}()
	if _, err := client.Write(helloPacket("d", "default", "")); err != nil {
		t.Fatal(err)
	}
	if said, err := io.ReadAll(client); err != nil || len(said) > 0 {
		t.Errorf("the client got %q, %v; want the end", said, err)
	}
	<-done
	select {
	case <-reached:
		t.Error("ClickHouse was connected to")
	default:
	}
}

func helloPacket(database, user, password string) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.Write(binary.AppendUvarint(nil, uint64(len(s))))
		b.WriteString(s)
	}
	b.WriteByte(0) // hello
	text("test")
	b.Write([]byte{1, 1, 1}) // versions
	text(database)
	text(user)
	text(password)
	return b.Bytes()
}
