package erp.connect;

import com.mongodb.kafka.connect.sink.MongoSinkTopicConfig;
import com.mongodb.kafka.connect.sink.converter.SinkDocument;
import com.mongodb.kafka.connect.sink.processor.PostProcessor;
import java.time.DateTimeException;
import java.time.OffsetDateTime;
import java.util.List;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.bson.BsonDateTime;
import org.bson.BsonDocument;
import org.bson.BsonInt32;
import org.bson.BsonInt64;
import org.bson.BsonString;

/**
 * What the project's own sink does to each document: times become dates, and the document says
 * where it came from and when it was stored, which the processor follows changes by.
 *
 * <p>Kafka's TimestampConverter knows no optional fraction of a second and would read microseconds
 * as milliseconds.
 */
public final class Contract extends PostProcessor {
  private static final List<String> TIMES =
      List.of("sale_datetime", "created_at", "registration_date");

  public Contract(MongoSinkTopicConfig config) {
    super(config);
  }

  @Override
  public void process(SinkDocument document, SinkRecord message) {
    document.getValueDoc().ifPresent(value -> complete(value, message));
  }

  private static void complete(BsonDocument document, SinkRecord message) {
    for (String name : TIMES) {
      if (document.isString(name)) {
        document.put(name, date(name, document.getString(name).getValue()));
      }
    }
    BsonDocument origin = new BsonDocument();
    origin.put("topic", new BsonString(message.originalTopic()));
    origin.put("partition", new BsonInt32(message.originalKafkaPartition()));
    origin.put("offset", new BsonInt64(message.originalKafkaOffset()));
    origin.put("timestamp", new BsonDateTime(message.timestamp()));
    document.put("kafka", origin);
    document.put("stored_at", new BsonDateTime(System.currentTimeMillis()));
  }

  private static BsonDateTime date(String name, String text) {
    try {
      return new BsonDateTime(OffsetDateTime.parse(text).toInstant().toEpochMilli());
    } catch (DateTimeException error) {
      throw new DataException(name + ": " + error.getMessage());
    }
  }
}
