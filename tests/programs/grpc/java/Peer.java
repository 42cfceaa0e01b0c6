// SPDX-License-Identifier: Apache-2.0
// See ../README.
import io.grpc.CallOptions;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Server;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.netty.shaded.io.grpc.netty.GrpcSslContexts;
import io.grpc.netty.shaded.io.grpc.netty.NettyChannelBuilder;
import io.grpc.netty.shaded.io.grpc.netty.NettyServerBuilder;
import io.grpc.stub.ClientCalls;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

public class Peer {
	static final String SERVICE = "sonde.test.Echo";

	/** Messages are bytes as they are. */
	static class Raw implements MethodDescriptor.Marshaller<String> {
		@Override
		public InputStream stream(String value) {
			return new ByteArrayInputStream(value.getBytes());
		}

		@Override
		public String parse(InputStream stream) {
			try {
				return new String(stream.readAllBytes());
			} catch (IOException e) {
				throw new UncheckedIOException(e);
			}
		}
	}

	static MethodDescriptor<String, String> method(String name, MethodType type) {
		return MethodDescriptor.<String, String>newBuilder(new Raw(), new Raw()).setType(type)
				.setFullMethodName(MethodDescriptor.generateFullMethodName(SERVICE, name)).build();
	}

	static final MethodDescriptor<String, String> UNARY = method("Unary", MethodType.UNARY);
	static final MethodDescriptor<String, String> CLIENT = method("ClientStream", MethodType.CLIENT_STREAMING);
	static final MethodDescriptor<String, String> SERVER = method("ServerStream", MethodType.SERVER_STREAMING);
	static final MethodDescriptor<String, String> BIDI = method("Bidi", MethodType.BIDI_STREAMING);

	static int number(String message) {
		return Integer.parseInt(message.substring(message.indexOf(' ') + 1));
	}

	static void unary(String message, StreamObserver<String> answer) {
		if (message.startsWith("fail ")) {
			answer.onError(Status.fromCodeValue(number(message)).withDescription("as asked for").asRuntimeException());
			return;
		}
		if (message.startsWith("sleep ")) {
			try {
				Thread.sleep(number(message));
			} catch (InterruptedException e) {
				Thread.currentThread().interrupt();
			}
		}
		if (Context.current().isCancelled())
			return;
		answer.onNext(message);
		answer.onCompleted();
	}

	static StreamObserver<String> count(StreamObserver<String> answer) {
		return new StreamObserver<>() {
			int n;

			@Override
			public void onNext(String message) {
				n++;
			}

			@Override
			public void onError(Throwable t) {
			}

			@Override
			public void onCompleted() {
				answer.onNext(String.valueOf(n));
				answer.onCompleted();
			}
		};
	}

	static void many(String message, StreamObserver<String> answer) {
		ServerCallStreamObserver<String> call = (ServerCallStreamObserver<String>) answer;
		int[] next = { 0 };

		call.setOnCancelHandler(() -> { });
		call.setOnReadyHandler(() -> {
			while (call.isReady() && !call.isCancelled() && next[0] < number(message))
				call.onNext(String.valueOf(next[0]++));
			if (next[0]++ == number(message))
				call.onCompleted();
		});
	}

	static StreamObserver<String> echo(StreamObserver<String> answer) {
		return new StreamObserver<>() {
			@Override
			public void onNext(String message) {
				answer.onNext(message);
			}

			@Override
			public void onError(Throwable t) {
			}

			@Override
			public void onCompleted() {
				answer.onCompleted();
			}
		};
	}

	static void serve(String[] args) throws Exception {
		NettyServerBuilder builder = NettyServerBuilder.forAddress(new InetSocketAddress("127.0.0.1", Integer.parseInt(args[1])));

		if (args.length > 2)
			builder.useTransportSecurity(new File(args[2]), new File(args[3]));
		Server server = builder.addService(ServerServiceDefinition.builder(SERVICE)
				.addMethod(UNARY, ServerCalls.asyncUnaryCall(Peer::unary))
				.addMethod(CLIENT, ServerCalls.asyncClientStreamingCall(Peer::count))
				.addMethod(SERVER, ServerCalls.asyncServerStreamingCall(Peer::many))
				.addMethod(BIDI, ServerCalls.asyncBidiStreamingCall(Peer::echo)).build()).build().start();
		server.awaitTermination();
	}

	static void check(boolean is, String what) {
		if (!is)
			throw new IllegalStateException(what);
	}

	/** A call of Bidi: what is sent, and what came. END: the answer ended; else a Throwable. */
	static class Call implements StreamObserver<String> {
		static final Object END = new Object();
		final BlockingQueue<Object> came = new LinkedBlockingQueue<>();
		final StreamObserver<String> out;

		Call(ManagedChannel channel, MethodDescriptor<String, String> of) {
			ClientCall<String, String> call = channel.newCall(of, CallOptions.DEFAULT);

			out = of == CLIENT ? ClientCalls.asyncClientStreamingCall(call, this) : ClientCalls.asyncBidiStreamingCall(call, this);
		}

		@Override
		public void onNext(String message) {
			came.add(message);
		}

		@Override
		public void onError(Throwable t) {
			came.add(t);
		}

		@Override
		public void onCompleted() {
			came.add(END);
		}

		void expect(Object what) throws InterruptedException {
			Object got = came.poll(30, TimeUnit.SECONDS);

			check(what.equals(got), got + " instead of " + what);
		}
	}

	static Status.Code unary(ManagedChannel channel, MethodDescriptor<String, String> of, String message, CallOptions options) {
		try {
			check(ClientCalls.blockingUnaryCall(channel, of, options, message).equals(message), "unary");
			return Status.Code.OK;
		} catch (StatusRuntimeException e) {
			return e.getStatus().getCode();
		}
	}

	static void step(ManagedChannel channel, String name, int n) throws Exception {
		switch (name) {
		case "unary":
			for (int i = 0; i < n; i++)
				check(unary(channel, UNARY, "hello " + i, CallOptions.DEFAULT) == Status.Code.OK, "unary");
			break;
		case "client": {
			Call call = new Call(channel, CLIENT);

			for (int i = 0; i < n; i++)
				call.out.onNext("x");
			call.out.onCompleted();
			call.expect(String.valueOf(n));
			call.expect(Call.END);
			break;
		}
		case "server": {
			Iterator<String> answers = ClientCalls.blockingServerStreamingCall(channel, SERVER, CallOptions.DEFAULT, "count " + n);
			int got = 0;

			for (; answers.hasNext(); got++)
				check(answers.next().equals(String.valueOf(got)), "server");
			check(got == n, "server: " + got);
			break;
		}
		case "bidi": {
			Call call = new Call(channel, BIDI);

			for (int i = 0; i < n; i++) {
				call.out.onNext(String.valueOf(i));
				call.expect(String.valueOf(i));
			}
			call.out.onCompleted();
			call.expect(Call.END);
			break;
		}
		case "concurrent": {
			List<Call> calls = new ArrayList<>();

			for (int i = 0; i < n; i++) {
				calls.add(new Call(channel, BIDI));
				calls.get(i).out.onNext(String.valueOf(i));
			}
			for (int i = 0; i < n; i++)
				calls.get(i).expect(String.valueOf(i));
			for (Call call : calls) {
				call.out.onCompleted();
				call.expect(Call.END);
			}
			break;
		}
		case "fail":
			check(unary(channel, UNARY, "fail " + n, CallOptions.DEFAULT).value() == n, "fail");
			break;
		case "cancel": {
			Context.CancellableContext context = Context.current().withCancellation();

			context.run(() -> {
				Iterator<String> answers = ClientCalls.blockingServerStreamingCall(channel, SERVER, CallOptions.DEFAULT, "count 100000000");

				answers.next();
				context.cancel(null);
				try {
					while (answers.hasNext())
						answers.next();
				} catch (StatusRuntimeException e) {
					check(e.getStatus().getCode() == Status.Code.CANCELLED, "cancel");
					return;
				}
				check(false, "not cancelled");
			});
			break;
		}
		case "deadline":
			check(unary(channel, UNARY, "sleep 3000", CallOptions.DEFAULT.withDeadlineAfter(300, TimeUnit.MILLISECONDS))
					== Status.Code.DEADLINE_EXCEEDED, "deadline");
			break;
		case "missing":
			check(unary(channel, method("Missing", MethodType.UNARY), "", CallOptions.DEFAULT) == Status.Code.UNIMPLEMENTED, "missing");
			break;
		default:
			throw new IllegalArgumentException(name);
		}
	}

	static void ask(String[] args) throws Exception {
		NettyChannelBuilder builder = NettyChannelBuilder.forAddress(args[2].equals("-") ? "127.0.0.1" : "localhost", Integer.parseInt(args[1]));

		if (args[2].equals("-"))
			builder.usePlaintext();
		else
			builder.sslContext(GrpcSslContexts.forClient().trustManager(new File(args[2])).build());
		ManagedChannel channel = builder.build();
		for (int i = 3; i < args.length; i++) {
			String[] words = args[i].split(":");

			step(channel, words[0], words.length > 1 ? Integer.parseInt(words[1]) : 0);
		}
		channel.shutdown().awaitTermination(10, TimeUnit.SECONDS);
	}

	public static void main(String[] args) throws Exception {
		if (args[0].equals("server"))
			serve(args);
		else
			ask(args);
	}
}
