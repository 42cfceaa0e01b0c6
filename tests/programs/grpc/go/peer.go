// SPDX-License-Identifier: Apache-2.0
// See ../README.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// Messages are bytes as they are.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error)      { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error { *v.(*[]byte) = append([]byte(nil), data...); return nil }
func (raw) Name() string                       { return "proto" }

const service = "/sonde.test.Echo/"

func number(message []byte) int {
	_, word, _ := strings.Cut(string(message), " ")
	n, _ := strconv.Atoi(word)
	return n
}

func unary(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	var message []byte
	if err := decode(&message); err != nil {
		return nil, err
	}
	switch {
	case strings.HasPrefix(string(message), "fail "):
		return nil, status.Error(codes.Code(number(message)), "as asked for")
	case strings.HasPrefix(string(message), "refill "):
		for i := range number(message) {
			grpc.SetHeader(ctx, metadata.Pairs(fmt.Sprintf("x-refill-%d", i), strings.Repeat("r", 40)))
		}
	case strings.HasPrefix(string(message), "sleep "):
		time.Sleep(time.Duration(number(message)) * time.Millisecond)
	}
	return &message, nil
}

func clientStream(_ any, stream grpc.ServerStream) error {
	for n := 0; ; n++ {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			answer := []byte(strconv.Itoa(n))
			return stream.SendMsg(&answer)
		} else if err != nil {
			return err
		}
	}
}

func serverStream(_ any, stream grpc.ServerStream) error {
	var message []byte
	if err := stream.RecvMsg(&message); err != nil {
		return err
	}
	for i := 0; i < number(message); i++ {
		answer := []byte(strconv.Itoa(i))
		if err := stream.SendMsg(&answer); err != nil {
			return err
		}
	}
	return nil
}

func bidi(_ any, stream grpc.ServerStream) error {
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

var description = grpc.ServiceDesc{
	ServiceName: "sonde.test.Echo",
	HandlerType: (*any)(nil),
	Methods:     []grpc.MethodDesc{{MethodName: "Unary", Handler: unary}},
	Streams: []grpc.StreamDesc{
		{StreamName: "ClientStream", Handler: clientStream, ClientStreams: true},
		{StreamName: "ServerStream", Handler: serverStream, ServerStreams: true},
		{StreamName: "Bidi", Handler: bidi, ClientStreams: true, ServerStreams: true},
	},
}

func serve(args []string) error {
	options := []grpc.ServerOption{grpc.ForceServerCodec(raw{})}
	if len(args) > 1 {
		c, err := credentials.NewServerTLSFromFile(args[1], args[2])
		if err != nil {
			return err
		}
		options = append(options, grpc.Creds(c))
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+args[0])
	if err != nil {
		return err
	}
	server := grpc.NewServer(options...)
	server.RegisterService(&description, nil)
	return server.Serve(listener)
}

type client struct {
	*grpc.ClientConn
}

func (c client) stream(ctx context.Context, name string, desc int) grpc.ClientStream {
	s, err := c.NewStream(ctx, &description.Streams[desc], service+name)
	if err != nil {
		panic(err)
	}
	return s
}

func send(s grpc.ClientStream, message string) {
	b := []byte(message)
	if err := s.SendMsg(&b); err != nil {
		panic(err)
	}
}

func receive(s grpc.ClientStream) (string, error) {
	var b []byte
	err := s.RecvMsg(&b)
	return string(b), err
}

func expect(s grpc.ClientStream, message string) {
	if got, err := receive(s); err != nil || got != message {
		panic(fmt.Sprintf("%q instead of %q, %v", got, message, err))
	}
}

func expectEnd(s grpc.ClientStream) {
	if _, err := receive(s); err != io.EOF {
		panic(fmt.Sprintf("no end: %v", err))
	}
}

func (c client) call(ctx context.Context, name, message string) (string, codes.Code) {
	in, out := []byte(message), []byte(nil)
	err := c.Invoke(ctx, service+name, &in, &out)
	return string(out), status.Code(err)
}

func (c client) concurrent(ctx context.Context, n int) {
	streams := make([]grpc.ClientStream, n)
	for i := range streams {
		streams[i] = c.stream(ctx, "Bidi", 2)
		send(streams[i], strconv.Itoa(i))
	}
	for i, s := range streams {
		expect(s, strconv.Itoa(i))
	}
	for _, s := range streams {
		s.CloseSend()
		expectEnd(s)
	}
}

func (c client) cancel() {
	ctx, cancel := context.WithCancel(context.Background())
	s := c.stream(ctx, "ServerStream", 1)
	send(s, "count 100000000")
	s.CloseSend()
	expect(s, "0")
	cancel()
	for {
		if _, err := receive(s); err != nil {
			mustBe(status.Code(err), codes.Canceled)
			return
		}
	}
}

func mustBe(got, want codes.Code) {
	if got != want {
		panic(fmt.Sprintf("%v instead of %v", got, want))
	}
}

func (c client) step(name string, n int) error {
	ctx := context.Background()
	switch name {
	case "unary":
		for i := 0; i < n; i++ {
			message := fmt.Sprint("hello ", i)
			if got, code := c.call(ctx, "Unary", message); code != 0 || got != message {
				panic(fmt.Sprint(got, code))
			}
		}
	case "client":
		s := c.stream(ctx, "ClientStream", 0)
		for i := 0; i < n; i++ {
			send(s, "x")
		}
		s.CloseSend()
		expect(s, strconv.Itoa(n))
		expectEnd(s)
	case "server":
		s := c.stream(ctx, "ServerStream", 1)
		send(s, fmt.Sprint("count ", n))
		s.CloseSend()
		for i := 0; i < n; i++ {
			expect(s, strconv.Itoa(i))
		}
		expectEnd(s)
	case "bidi":
		s := c.stream(ctx, "Bidi", 2)
		for i := 0; i < n; i++ {
			send(s, strconv.Itoa(i))
			expect(s, strconv.Itoa(i))
		}
		s.CloseSend()
		expectEnd(s)
	case "concurrent":
		c.concurrent(ctx, n)
	case "fail":
		_, code := c.call(ctx, "Unary", fmt.Sprint("fail ", n))
		mustBe(code, codes.Code(n))
	case "cancel":
		c.cancel()
	case "deadline":
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		_, code := c.call(short, "Unary", "sleep 3000")
		mustBe(code, codes.DeadlineExceeded)
	case "missing":
		_, code := c.call(ctx, "Missing", "")
		mustBe(code, codes.Unimplemented)
	default:
		return errors.New("no such step: " + name)
	}
	return nil
}

func ask(args []string) error {
	target, creds := "127.0.0.1:"+args[0], insecure.NewCredentials()
	if args[1] != "-" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(args[1], ""); err != nil {
			return err
		}
		target = "localhost:" + args[0]
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
	if err != nil {
		return err
	}
	defer connection.Close()
	for _, step := range args[2:] {
		name, word, _ := strings.Cut(step, ":")
		n, _ := strconv.Atoi(word)
		if err := (client{connection}).step(name, n); err != nil {
			return err
		}
	}
	return nil
}

func main() {
	run := ask
	if os.Args[1] == "server" {
		run = serve
	}
	if err := run(os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
