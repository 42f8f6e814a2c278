import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import java.nio.file.Path;
import java.util.List;
import org.h2.mvstore.MVStore;
import org.h2.mvstore.MVStoreException;

/**
 * A MongoDB wire server on loopback: {@code WireServer PORT [STORE_FILE]}.
 *
 * <p>Without a file everything stays in memory. SIGTERM stops it and closes the file, so that what
 * was acknowledged is on the disk.
 */
public final class WireServer {
  /** PyMongo 4.20 refuses a server below wire version 9, and no built-in version says more than 8. */
  private record Version(List<Integer> getVersionArray, int getWireVersion)
      implements MongoVersion {}

  private static final Version REPORTED = new Version(List.of(4, 4, 0), 9);
  private static final int CACHE_MEGABYTES = 512; // a scan is 50 times slower with H2's default of 16

  public static void main(String[] args) {
    int port = Integer.parseInt(args[0]);
    MongoBackend backend = args.length > 1 ? onFile(Path.of(args[1])) : new MemoryBackend();
    backend = ExclusiveCreation.of(backend.version(REPORTED));
    MongoServer server = new MongoServer(backend);
    server.bind("127.0.0.1", port);
    Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow));
  }

  private static MongoBackend onFile(Path file) {
    try {
      MVStore.Builder store = new MVStore.Builder().fileName(file.toString());
      return new H2Backend(store.cacheSize(CACHE_MEGABYTES).open());
    } catch (MVStoreException unreadable) {
      System.err.println("ERROR cannot open the store: " + unreadable.getMessage());
      System.exit(1);
      throw unreadable;
    }
  }
}
