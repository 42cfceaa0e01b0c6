// SPDX-License-Identifier: Apache-2.0

// tls_client PORT COUNT CA [WORKERS]: COUNT requests over the pool of connections of net/http; HTTP/1.1 alone.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
)

func main() {
	count, _ := strconv.Atoi(os.Args[2])
	workers := 4
	if len(os.Args) > 4 {
		workers, _ = strconv.Atoi(os.Args[4])
	}
	ca, err := os.ReadFile(os.Args[3])
	if err != nil {
		panic(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	client := &http.Client{Transport: &http.Transport{
		MaxIdleConnsPerHost: workers,
		TLSClientConfig:     &tls.Config{RootCAs: roots},
	}}
	numbers := make(chan int)
	var group sync.WaitGroup
	for w := 0; w < workers; w++ {
		group.Add(1)
		go func() {
			defer group.Done()
			for n := range numbers {
				answer, err := client.Get(fmt.Sprintf("https://localhost:%s/go/%d", os.Args[1], n))
				if err != nil {
					fmt.Fprintln(os.Stderr, err)
					os.Exit(1)
				}
				io.Copy(io.Discard, answer.Body)
				answer.Body.Close()
			}
		}()
	}
	for n := 0; n < count; n++ {
		numbers <- n
	}
	close(numbers)
	group.Wait()
}
