package erp.connect;

import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.Date;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.apache.kafka.connect.transforms.Transformation;

/**
 * What the project's own sink does to each message: times become dates, and the document says where
 * it came from and when it was stored, which the processor follows changes by.
 *
 * <p>Kafka's TimestampConverter knows no optional fraction of a second and would read microseconds
 * as milliseconds. This is a transformation because Connect puts aside what one refuses; what the
 * connector itself refuses would stop its task, unless it were to put aside outages as well.
 */
public final class Contract implements Transformation<SinkRecord> {
  private static final List<String> TIMES =
      List.of("sale_datetime", "created_at", "registration_date");

  @Override
  public SinkRecord apply(SinkRecord message) {
    if (!(message.key() instanceof String key) || key.isEmpty()) {
      throw new DataException("the message has no key");
    }
    if (message.value() == null) {
      return message;
    }
    if (!(message.value() instanceof Map<?, ?> row)) {
      throw new DataException("the value is no JSON object");
    }
    return message.newRecord(
        message.topic(),
        message.kafkaPartition(),
        message.keySchema(),
        message.key(),
        null,
        document(row, message),
        message.timestamp());
  }

  private static Map<String, Object> document(Map<?, ?> row, SinkRecord message) {
    Map<String, Object> document = new HashMap<>();
    row.forEach((name, value) -> document.put((String) name, value));
    for (String name : TIMES) {
      document.computeIfPresent(name, Contract::date);
    }
    if (message.topic().endsWith("sales_items")) {
      SaleLines.id(document.get("sale_id"), document.get("line_n"));
    }
    document.put("kafka", origin(message));
    document.put("stored_at", new Date());
    return document;
  }

  private static Date date(String name, Object value) {
    if (!(value instanceof String text)) {
      throw new DataException(name + " is no text");
    }
    try {
      return Date.from(OffsetDateTime.parse(text).toInstant());
    } catch (DateTimeException | IllegalArgumentException error) {
      throw new DataException(name + ": " + error.getMessage());
    }
  }

  private static Map<String, Object> origin(SinkRecord message) {
    return Map.of(
        "topic", message.originalTopic(),
        "partition", message.originalKafkaPartition(),
        "offset", message.originalKafkaOffset(),
        "timestamp", new Date(message.timestamp()));
  }

  @Override
  public ConfigDef config() {
    return new ConfigDef();
  }

  @Override
  public void configure(Map<String, ?> settings) {}

  @Override
  public void close() {}
}
