// SPDX-License-Identifier: Apache-2.0

// deep PORT COUNT FOLDER: serves HTTPS with FOLDER's cert.pem and key.pem and asks itself COUNT times, on stacks that
// grow and are moved inside of crypto/tls and shrink again at each collection; every answer is checked.
// Says "right COUNT" when all were.
package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"
)

const connections, onOne = 8, 400

// Each call takes a kilobyte of stack, so that what is called at its end meets a stack of any fill.
//
//go:noinline
func deep(depth int, then func()) byte {
	var pad [1024]byte
	pad[depth%1024] = byte(depth)
	if depth == 0 {
		then()
		return pad[0]
	}
	return deep(depth-1, then) + pad[(depth*7)%1024]
}

func fail(what ...any) {
	fmt.Fprintln(os.Stderr, what...)
	os.Exit(1)
}

func answer(n int) string {
	return strings.Repeat(strconv.Itoa(n)+".", []int{1, 100, 3000}[n%3])
}

func handle(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.URL.Path[1:])
	if err != nil {
		fail("a wrong path arrived:", r.URL.Path)
	}
	deep(n*31%150, func() {
		io.WriteString(w, answer(n))
		w.(http.Flusher).Flush()
	})
}

func ask(conn *tls.Conn, in *bufio.Reader, n int) {
	deep(n*17%150, func() {
		if _, err := fmt.Fprintf(conn, "GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n", n); err != nil {
			fail("write:", err)
		}
	})
	deep(n*13%150, func() {
		response, err := http.ReadResponse(in, nil)
		if err != nil {
			fail("read:", err)
		}
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 200 || string(body) != answer(n) {
			fail("a wrong answer to", n, err, response.StatusCode, len(body))
		}
	})
}

// A goroutine a request: each begins with the smallest stack.
func client(address string, from, to int) {
	conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		fail("dial:", err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	for n := from; n < to; n++ {
		done := make(chan bool)
		go func() {
			ask(conn, in, n)
			close(done)
		}()
		<-done
	}
}

func main() {
	address, folder := "127.0.0.1:"+os.Args[1], os.Args[3]
	count, _ := strconv.Atoi(os.Args[2])
	certificate, err := tls.LoadX509KeyPair(folder+"/cert.pem", folder+"/key.pem")
	if err != nil {
		fail(err)
	}
	listener, err := tls.Listen("tcp", address, &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		fail(err)
	}
	go http.Serve(listener, http.HandlerFunc(handle))
	go func() {
		for {
			time.Sleep(20 * time.Millisecond)
			runtime.GC()
		}
	}()
	starts := make(chan int)
	var clients sync.WaitGroup
	for i := 0; i < connections; i++ {
		clients.Add(1)
		go func() {
			defer clients.Done()
			for from := range starts {
				client(address, from, min(from+onOne, count))
			}
		}()
	}
	for from := 0; from < count; from += onOne {
		starts <- from
	}
	close(starts)
	clients.Wait()
	fmt.Println("right", count)
}
