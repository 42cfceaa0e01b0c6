// SPDX-License-Identifier: Apache-2.0
import com.sun.net.httpserver.HttpServer;
import java.io.FileOutputStream;
import java.io.IOException;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.concurrent.Executors;

public class HelloServer {
	public static void main(String[] args) throws IOException {
		FileOutputStream log = new FileOutputStream(args[1], true);
		HttpServer server = HttpServer.create(
			new InetSocketAddress(InetAddress.getLoopbackAddress(), Integer.parseInt(args[0])), 128);
		server.setExecutor(Executors.newFixedThreadPool(16));
		server.createContext("/", exchange -> {
			byte[] body = "hello\n".getBytes();
			byte[] line = (exchange.getRequestMethod() + " " + exchange.getRequestURI() + " 200\n").getBytes();
			synchronized (log) {
				log.write(line);
			}
			exchange.sendResponseHeaders(200, body.length);
			exchange.getResponseBody().write(body);
			exchange.close();
		});
		server.start();
	}
}
