// SPDX-License-Identifier: Apache-2.0

// client PORT COUNT [WORKERS [PREFIX [CA]]]: COUNT requests, PREFIX and a number as their paths, over
// the pool of connections of net/http. CA: over TLS, of servers that it has signed; HTTP/1.1 alone.
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
	concurrency, prefix := 4, "/go/"
	if len(os.Args) > 3 {
		concurrency, _ = strconv.Atoi(os.Args[3])
	}
	if len(os.Args) > 4 {
		prefix = os.Args[4]
	}
	transport, base := http.DefaultTransport.(*http.Transport), "http://127.0.0.1:"+os.Args[1]+prefix
	if len(os.Args) > 5 {
		ca, err := os.ReadFile(os.Args[5])
		if err != nil {
			panic(err)
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
		base = "https://localhost:" + os.Args[1] + prefix
	}
	transport.MaxIdleConnsPerHost = concurrency
	client := &http.Client{Transport: transport}
	numbers := make(chan int)
	var workers sync.WaitGroup
	for w := 0; w < concurrency; w++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				answer, err := client.Get(fmt.Sprint(base, n))
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
	workers.Wait()
}
