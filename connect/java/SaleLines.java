package erp.connect;

import com.mongodb.client.model.DeleteManyModel;
import com.mongodb.client.model.WriteModel;
import com.mongodb.kafka.connect.sink.converter.SinkDocument;
import com.mongodb.kafka.connect.sink.processor.id.strategy.IdStrategy;
import com.mongodb.kafka.connect.sink.writemodel.strategy.WriteModelStrategy;
import org.apache.kafka.connect.errors.DataException;
import org.apache.kafka.connect.sink.SinkRecord;
import org.bson.BsonDocument;
import org.bson.BsonString;
import org.bson.BsonValue;

/**
 * The lines of sales: {@code _id} is {@code sale_id:line_n}, and the tombstone of a sale deletes all
 * its lines.
 *
 * <p>Neither can be configured: the connector's own strategies make an {@code _id} of two fields a
 * document, Kafka's transformations join no fields, and a tombstone deletes one {@code _id}.
 */
public final class SaleLines implements IdStrategy, WriteModelStrategy {
  static String id(Object saleId, Object lineNumber) {
    if (!(saleId instanceof String) || !(lineNumber instanceof Long)) {
      throw new DataException("sale_id must be text and line_n a whole number");
    }
    return saleId + ":" + lineNumber;
  }

  @Override
  public BsonValue generateId(SinkDocument line, SinkRecord message) {
    BsonDocument value = line.getValueDoc().orElseThrow(() -> new DataException("no value"));
    return new BsonString(
        id(value.getString("sale_id").getValue(), value.getInt64("line_n").getValue()));
  }

  @Override
  public WriteModel<BsonDocument> createWriteModel(SinkDocument tombstone) {
    BsonDocument key = tombstone.getKeyDoc().orElseThrow(() -> new DataException("no key"));
    return new DeleteManyModel<>(new BsonDocument("sale_id", key.get("_id")));
  }
}
