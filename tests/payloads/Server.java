import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.util.concurrent.Executors;

/** Answers on 127.0.0.1:PORT, an address that the JVM binds as ::ffff:127.0.0.1 on an IPv6 socket. */
public final class Server {
    public static void main(String[] arguments) throws Exception {
        int port = Integer.parseInt(System.getenv("PORT"));
        String slot = System.getenv("NODE_APP_INSTANCE");
        String generation = System.getenv("RPM_GENERATION");
        long pid = ProcessHandle.current().pid();
        HttpServer server = HttpServer.create(
            new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port), 0);
        server.createContext("/", exchange -> {
            String query = exchange.getRequestURI().getQuery();
            String nonce = query == null ? "" : query.replaceFirst("^.*nonce=", "").replaceFirst("&.*$", "");
            String body = String.format(
                "{\"pid\":%d,\"slot\":\"%s\",\"generation\":\"%s\",\"nonce\":\"%s\"}", pid, slot, generation, nonce);
            byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "application/json");
            exchange.sendResponseHeaders(200, bytes.length);
            exchange.getResponseBody().write(bytes);
            exchange.close();
        });
        server.setExecutor(Executors.newCachedThreadPool());
        server.start();
    }
}
