import de.bwaldvogel.mongo.MongoBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.message.MongoMessage;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;

/**
 * A backend in which a collection is created, changed or dropped while no other command runs.
 *
 * <p>The backend itself shows a collection to all threads before it has its index of {@code _id}:
 * who meets it then gets an "Unknown error", or stores a document that the index never holds.
 */
final class ExclusiveCreation {
  private static final Set<String> WRITES = Set.of("insert", "update", "findAndModify");
  private static final Set<String> CHANGES =
      Set.of("create", "createIndexes", "drop", "dropDatabase", "dropIndexes", "renameCollection");

  private final MongoBackend backend;
  private final ReadWriteLock lock = new ReentrantReadWriteLock();
  private final Set<String> standing = ConcurrentHashMap.newKeySet(); // collections, for certain

  private ExclusiveCreation(MongoBackend backend) {
    this.backend = backend;
  }

  static MongoBackend of(MongoBackend backend) {
    ExclusiveCreation guard = new ExclusiveCreation(backend);
    return (MongoBackend)
        Proxy.newProxyInstance(
            MongoBackend.class.getClassLoader(),
            new Class<?>[] {MongoBackend.class},
            (proxy, method, arguments) -> guard.call(method, arguments));
  }

  private Object call(Method method, Object[] arguments) throws Throwable {
    if (arguments != null && arguments[0] instanceof MongoMessage message) {
      return handle(message);
    }
    try {
      return method.invoke(backend, arguments);
    } catch (InvocationTargetException thrown) {
      throw thrown.getCause();
    }
  }

  private Document handle(MongoMessage message) {
    String command = message.getDocument().keySet().iterator().next();
    String collection = message.getDatabaseName() + "." + message.getDocument().get(command);
    boolean changes = CHANGES.contains(command);
    boolean creates = WRITES.contains(command) && !standing.contains(collection);
    Lock held = changes || creates ? lock.writeLock() : lock.readLock();
    held.lock();
    try {
      if (changes) {
        standing.clear();
      }
      Document reply = backend.handleMessage(message);
      if (creates) {
        standing.add(collection);
      }
      return reply;
    } finally {
      held.unlock();
    }
  }
}
