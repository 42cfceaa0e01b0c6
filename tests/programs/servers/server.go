// SPDX-License-Identifier: Apache-2.0
package main

import (
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
	panic(http.ListenAndServe("127.0.0.1:"+os.Args[1], nil))
}
