// SPDX-License-Identifier: Apache-2.0

// server PORT LOG [FOLDER]: every GET is answered. FOLDER: over TLS, with its cert.pem and key.pem; HTTP/1.1 alone.
package main

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"os"
)

func main() {
	log, err := os.OpenFile(os.Args[2], os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		panic(err)
	}
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(log, "%s %s 200\n", r.Method, r.URL.Path)
		fmt.Fprintln(w, "hello")
	})
	server := &http.Server{Addr: "127.0.0.1:" + os.Args[1]}
	if len(os.Args) == 3 {
		panic(server.ListenAndServe())
	}
	server.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){}
	panic(server.ListenAndServeTLS(os.Args[3]+"/cert.pem", os.Args[3]+"/key.pem"))
}
