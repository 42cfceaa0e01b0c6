// SPDX-License-Identifier: Apache-2.0

// client PORT COUNT [WORKERS [PREFIX]]: COUNT requests, PREFIX and a number as their paths, over
// the pool of connections of net/http.
package main

import (
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
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = concurrency
	numbers := make(chan int)
	var workers sync.WaitGroup
	for w := 0; w < concurrency; w++ {
		workers.Add(1)
		go func() {
			defer workers.Done()
			for n := range numbers {
				answer, err := http.Get(fmt.Sprintf("http://127.0.0.1:%s%s%d", os.Args[1], prefix, n))
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
