// SPDX-License-Identifier: Apache-2.0

// Go's HTTP/2 in the clear, by upgrade from HTTP/1.1 or by prior knowledge: main PORT LOG. Answers with the length
// of what it was sent, and says by which version of HTTP it was asked.
package main

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/h2c"
)

func main() {
	file, err := os.Create(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	lines := log.New(file, "", 0)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		lines.Println(r.Method, r.URL.Path, r.Proto)
		w.Header().Set("X-Number", r.URL.Path[1:])
		fmt.Fprintln(w, n)
	})
	log.Fatal(http.ListenAndServe("127.0.0.1:"+os.Args[1], h2c.NewHandler(handler, &http2.Server{})))
}
