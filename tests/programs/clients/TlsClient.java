// SPDX-License-Identifier: Apache-2.0
// TlsClient.java PORT COUNT CA: COUNT requests over HTTPS, by the JDK's own TLS.
import java.io.FileInputStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

public class TlsClient {
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
		for (int n = 0; n < Integer.parseInt(args[1]); n++) {
			HttpRequest request = HttpRequest.newBuilder(URI.create("https://localhost:" + args[0] + "/java/" + n)).build();
			if (client.send(request, HttpResponse.BodyHandlers.ofString()).statusCode() != 200)
				throw new IllegalStateException("not 200");
		}
	}
}
