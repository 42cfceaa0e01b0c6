// SPDX-License-Identifier: Apache-2.0

// middle PORT UPSTREAM: asks an upstream for the same path, per request.
package main

import (
	"io"
	"net/http"
	"os"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answer, err := http.Get("http://127.0.0.1:" + os.Args[2] + r.URL.Path)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		w.WriteHeader(answer.StatusCode)
		io.Copy(w, answer.Body)
	})
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
