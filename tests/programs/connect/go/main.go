// SPDX-License-Identifier: Apache-2.0

// Calls by connect-go: `main serve PORT LOG`, `main call PORT PROTOCOL HTTP N`. PROTOCOL: connect, json or grpcweb;
// HTTP: 1 or 2 (in the clear). A client makes N unary calls, one of a stream, one that fails and one of what there
// is not.
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"strconv"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type message = wrapperspb.StringValue

const service = "/sonde.test.Words/"

func serve(port, path string) {
	file, err := os.Create(path)
	if err != nil {
		log.Fatal(err)
	}
	lines := log.New(file, "", 0)
	mux := http.NewServeMux()
	mux.Handle(service+"Repeat", connect.NewUnaryHandler(service+"Repeat",
		func(_ context.Context, r *connect.Request[message]) (*connect.Response[message], error) {
			lines.Println("Repeat", r.Peer().Protocol)
			if r.Msg.Value == "fail" {
				return nil, connect.NewError(connect.CodeUnavailable, errors.New("as asked for"))
			}
			return connect.NewResponse(r.Msg), nil
		}))
	mux.Handle(service+"Count", connect.NewServerStreamHandler(service+"Count",
		func(_ context.Context, r *connect.Request[message], s *connect.ServerStream[message]) error {
			lines.Println("Count", r.Peer().Protocol)
			for range 3 {
				if err := s.Send(r.Msg); err != nil {
					return err
				}
			}
			return connect.NewError(connect.CodeAborted, errors.New("as always"))
		}))
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: mux, Protocols: protocols}
	log.Fatal(server.ListenAndServe())
}

func call(port, protocol, version string, n int) {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(version == "1")
	protocols.SetUnencryptedHTTP2(version == "2")
	client := &http.Client{Transport: &http.Transport{Protocols: protocols}}
	options := map[string][]connect.ClientOption{
		"connect": nil, "json": {connect.WithProtoJSON()}, "grpcweb": {connect.WithGRPCWeb()},
	}[protocol]
	to := func(method string) *connect.Client[message, message] {
		return connect.NewClient[message, message](client, "http://127.0.0.1:"+port+service+method, options...)
	}
	ctx := context.Background()
	words := func(s string) *connect.Request[message] { return connect.NewRequest(&message{Value: s}) }
	for i := range n {
		answer, err := to("Repeat").CallUnary(ctx, words(fmt.Sprint(i)))
		if err != nil || answer.Msg.Value != fmt.Sprint(i) {
			log.Fatal(answer, err)
		}
	}
	if _, err := to("Repeat").CallUnary(ctx, words("fail")); connect.CodeOf(err) != connect.CodeUnavailable {
		log.Fatal(err)
	}
	stream, err := to("Count").CallServerStream(ctx, words("x"))
	if err != nil {
		log.Fatal(err)
	}
	for stream.Receive() {
	}
	if connect.CodeOf(stream.Err()) != connect.CodeAborted {
		log.Fatal(stream.Err())
	}
	stream.Close()
	if _, err := to("Lacking").CallUnary(ctx, words("x")); connect.CodeOf(err) != connect.CodeUnimplemented {
		log.Fatal(err)
	}
}

func main() {
	if os.Args[1] == "serve" {
		serve(os.Args[2], os.Args[3])
	}
	n, _ := strconv.Atoi(os.Args[5])
	call(os.Args[2], os.Args[3], os.Args[4], n)
}
