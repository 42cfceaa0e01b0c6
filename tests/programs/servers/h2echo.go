// SPDX-License-Identifier: Apache-2.0
// An HTTP/2 server in the clear (prior knowledge): h2echo PORT LOG. The answer to /…/N says N in a header
// and in its body; /bytes/N sends N bytes; /slow waits until its client goes.
package main

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path"
	"strconv"
	"strings"
	"sync"
	"syscall"
)

func main() {
	file, err := os.OpenFile(os.Args[2], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		panic(err)
	}
	log := bufio.NewWriter(file)
	var lock sync.Mutex
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		last := path.Base(r.URL.Path)
		io.Copy(io.Discard, r.Body)
		if strings.HasPrefix(r.URL.Path, "/bytes/") {
			n, _ := strconv.Atoi(last)
			block := make([]byte, 1<<16)
			for n > 0 {
				part := min(n, len(block))
				w.Write(block[:part])
				n -= part
			}
		} else if strings.HasPrefix(r.URL.Path, "/slow") {
			w.WriteHeader(200)
			w.(http.Flusher).Flush()
			<-r.Context().Done()
		} else if strings.HasPrefix(r.URL.Path, "/missing/") {
			http.Error(w, last, 404)
		} else {
			w.Header().Set("X-Number", last)
			fmt.Fprintln(w, last)
		}
		lock.Lock()
		fmt.Fprintln(log, r.Method, r.URL.Path, r.Proto)
		lock.Unlock()
	})
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1], Handler: handler, Protocols: protocols,
		HTTP2: &http.HTTP2Config{MaxConcurrentStreams: 1000}}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM)
	go func() {
		<-ended
		server.Close()
		lock.Lock()
		log.Flush()
		os.Exit(0)
	}()
	fmt.Fprintln(os.Stderr, server.ListenAndServe())
	select {}
}
