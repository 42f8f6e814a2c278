import java.io.Reader;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Properties;
import kafka.Kafka;
import kafka.tools.StorageTool;

/**
 * Apache Kafka: {@code Broker SERVER_PROPERTIES CLUSTER_ID}.
 *
 * <p>A data folder that is not there yet is formatted first, in the same virtual machine, which
 * saves the seconds that a second one takes to start.
 */
public final class Broker {
  public static void main(String[] args) throws Exception {
    Properties settings = new Properties();
    try (Reader file = Files.newBufferedReader(Path.of(args[0]))) {
      settings.load(file);
    }
    if (Files.notExists(Path.of(settings.getProperty("log.dirs")))) {
      String[] format = {"format", "--cluster-id=" + args[1], "-c", args[0]};
      int failed = StorageTool.execute(format, System.out);
      if (failed != 0) {
        System.exit(failed);
      }
    }
    Kafka.main(new String[] {args[0]});
  }
}
