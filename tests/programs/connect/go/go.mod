module words

go 1.26

require (
	connectrpc.com/connect v1.18.1
	google.golang.org/protobuf v1.36.11
)
