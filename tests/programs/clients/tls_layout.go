// SPDX-License-Identifier: Apache-2.0

// tls_layout: where reflection says that the fields are by which a tracer goes from a *tls.Conn to its
// descriptor, as JSON. Given an address it fetches that by HTTPS instead, so that all of crypto/tls is in it.
package main

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"reflect"
)

func offset(t reflect.Type, name string) (uintptr, reflect.Type) {
	f, ok := t.FieldByName(name)
	if !ok {
		panic("no field " + name + " in " + t.String())
	}
	return f.Offset, f.Type
}

func main() {
	if len(os.Args) > 1 {
		r, err := http.Get(os.Args[1])
		fmt.Println(r, err)
		return
	}
	conn, _ := offset(reflect.TypeOf(tls.Conn{}), "conn")
	fd, netFD := offset(reflect.TypeOf(net.TCPConn{}), "fd")
	pfd, pollFD := offset(netFD.Elem(), "pfd")
	sysfd, kind := offset(pollFD, "Sysfd")
	fmt.Printf("{\"conn\": %d, \"fd\": %d, \"sysfd\": %d, \"kind\": %q}\n", conn, fd, pfd+sysfd, kind.Kind())
}
