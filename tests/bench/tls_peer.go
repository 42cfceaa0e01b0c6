// SPDX-License-Identifier: Apache-2.0
//
//	tls_peer calls CERTIFICATE KEY           as tls_calls.c does, by crypto/tls
//	tls_peer serve PORT CERTIFICATE KEY      a small page by net/http over TLS, HTTP/1.1 and HTTP/2; /bytes/N: N bytes
package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"path"
	"runtime"
	"strconv"
	"sync"
	"time"
)

const request = "GET /index.html HTTP/1.1\r\nHost: localhost\r\nUser-Agent: calls\r\n\r\n"
const response = "HTTP/1.1 200 OK\r\nContent-Length: 13\r\nContent-Type: text/plain\r\n\r\nHello, world!"

// One direction of a connection in memory. Nobody waits: what is read was written before, but for the handshake.
type half struct {
	lock  sync.Mutex
	bytes bytes.Buffer
}

type memory struct {
	net.Conn // what nobody calls
	in, out  *half
}

func (m memory) Read(to []byte) (int, error) {
	for {
		m.in.lock.Lock()
		n, _ := m.in.bytes.Read(to)
		m.in.lock.Unlock()
		if n > 0 {
			return n, nil
		}
		runtime.Gosched()
	}
}

func (m memory) Write(from []byte) (int, error) {
	m.out.lock.Lock()
	defer m.out.lock.Unlock()
	return m.out.bytes.Write(from)
}

func (memory) Close() error                     { return nil }
func (memory) SetDeadline(time.Time) error      { return nil }
func (memory) SetReadDeadline(time.Time) error  { return nil }
func (memory) SetWriteDeadline(time.Time) error { return nil }

func pass(from, to *tls.Conn, message string, room []byte) {
	if _, err := from.Write([]byte(message)); err != nil {
		log.Fatal(err)
	}
	if n, err := to.Read(room); err != nil || string(room[:n]) != message {
		log.Fatalf("%q, %v", room[:n], err)
	}
}

func calls(config *tls.Config) {
	var there, back half
	client := tls.Client(memory{in: &back, out: &there}, &tls.Config{InsecureSkipVerify: true})
	server := tls.Server(memory{in: &there, out: &back}, config)
	done := make(chan error)
	go func() { done <- server.Handshake() }()
	if err := client.Handshake(); err != nil {
		log.Fatal(err)
	}
	if err := <-done; err != nil {
		log.Fatal(err)
	}
	fmt.Printf("ready %d\n", os.Getpid())
	room := make([]byte, 4096)
	for in := bufio.NewReader(os.Stdin); ; {
		var n int
		if _, err := fmt.Fscanln(in, &n); err != nil {
			return
		}
		begin := time.Now()
		for i := 0; i < n; i++ {
			pass(client, server, request, room)
			pass(server, client, response, room)
		}
		fmt.Printf("calls %d ns %d\n", 4*n, time.Since(begin).Nanoseconds())
	}
}

type zeros struct{}

func (zeros) Read(to []byte) (int, error) {
	clear(to)
	return len(to), nil
}

func serve(port string, config *tls.Config) {
	config.NextProtos = []string{"h2", "http/1.1"}
	listener, err := tls.Listen("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		log.Fatal(err)
	}
	page := bytes.Repeat([]byte("x"), 128)
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if n, err := strconv.ParseInt(path.Base(r.URL.Path), 10, 64); err == nil {
			io.CopyN(w, zeros{}, n)
			return
		}
		w.Write(page)
	}))
}

func main() {
	last := len(os.Args) - 2
	certificate, err := tls.LoadX509KeyPair(os.Args[last], os.Args[last+1])
	if err != nil {
		log.Fatal(err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	if os.Args[1] == "calls" {
		calls(config)
	} else {
		serve(os.Args[2], config)
	}
}
