// SPDX-License-Identifier: Apache-2.0
// DeepTls.java PORT COUNT CA: asks deep.js COUNT times over HTTPS, from calls of any depth; every answer is checked.
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class DeepTls {
	static final int[] TIMES = { 1, 100, 3000 };

	static void ask(HttpClient client, String port, int n, int depth) throws Exception {
		if (depth > 0) {
			ask(client, port, n, depth - 1);
			return;
		}
		HttpRequest request = HttpRequest.newBuilder(URI.create("https://localhost:" + port + "/" + n)).build();
		HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
		if (response.statusCode() != 200 || !response.body().equals((n + ".").repeat(TIMES[n % 3])))
			throw new IllegalStateException("a wrong answer to " + n);
	}

	public static void main(String[] args) throws Exception {
		KeyStore store = KeyStore.getInstance(KeyStore.getDefaultType());
		store.load(null, null);
		try (FileInputStream in = new FileInputStream(args[2])) {
			store.setCertificateEntry("ca", CertificateFactory.getInstance("X.509").generateCertificate(in));
		}
		TrustManagerFactory trust = TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
		trust.init(store);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(null, trust.getTrustManagers(), null);
		HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).sslContext(context).build();
		int count = Integer.parseInt(args[1]);
		for (int n = 0; n < count; n++)
			ask(client, args[0], n, n * 13 % 1000);
		System.out.println("right " + count);
	}
}
