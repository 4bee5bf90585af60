import java.util.logging.Level;
import java.util.logging.Logger;

/** Stack traces as java.util.logging, printStackTrace and the JVM write them. */
public class Trace {
    static void inner() {
        throw new IllegalStateException("no more\nsecond line\n\nfourth line");
    }

    static void outer() {
        try {
            inner();
        } catch (RuntimeException cause) {
            var error = new RuntimeException("it \"failed\"", cause);
            error.addSuppressed(new java.io.IOException("closing"));
            throw error;
        }
    }

    public static void main(String[] args) throws Exception {
        var log = Logger.getLogger("web");
        log.info("before");
        try {
            outer();
        } catch (RuntimeException error) {
            log.log(Level.SEVERE, "it failed", error);
        }
        log.info("between");
        try {
            outer();
        } catch (RuntimeException error) {
            error.printStackTrace();
        }
        log.warning("after");
        var thread = new Thread(Trace::outer);
        thread.start();
        thread.join();
        outer();
    }
}
