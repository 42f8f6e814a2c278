"""What the tests of the processor share: a shop whose figures are known by hand, and runs of it."""

from datetime import UTC, datetime

from erp.processor.snapshots import read
from tests.processor_shop import Shop

SCRIPT = "mongo_data_processor_completo.py"
MADRID = "Europe/Madrid"


def known_shop(database):
    """Two stores, three sales on two days of Madrid, and what real exports get wrong."""
    shop = Shop(database)
    shop.put("products", product_id="bread", name="Pan", category="Bakery", unit_cost=0.5)
    shop.put("products", product_id="milk", name="Leche", category="Dairy", subcategory="Fresh")
    shop.put("customers", customer_id="ana", first_name="Ana")
    # 22:30 UTC on Friday the 1st of March is 23:30 in Madrid; 23:30 UTC is Saturday there.
    put_sale(shop, "1", 22, customer_id="ana", store_id="north", payment_type="card", tax=0.4)
    put_line(
        shop, "1", 1, "bread", quantity=2.0, gross_amount=3.0, line_discount=0.5, net_amount=2.5
    )
    put_line(shop, "1", 2, "milk", quantity=1.0, gross_amount=1.1, net_amount=1.1)
    put_sale(shop, "2", 23, customer_id="ana", store_id="south", payment_type="cash")
    put_line(shop, "2", 1, "bread", quantity=-1.0, unit_price=1.5)
    put_line(shop, "2", 2, "nobody knows", quantity=3.0, gross_amount=9.0, net_amount=9.0)
    put_sale(shop, "3", 23, store_id="south", gross_amount=20.0, discount_header=5.0)
    put_line(shop, "lost", 1, "milk", quantity=1.0, net_amount=100.0)
    return shop


def put_sale(shop, sale_id, hour, **fields):
    """A sale of that hour (UTC) of the 1st of March."""
    moment = datetime(2024, 3, 1, hour, 30, tzinfo=UTC)
    shop.put("sales", sale_id=sale_id, sale_datetime=moment, **fields)


def put_line(shop, sale_id, line_n, product_id, **fields):
    """A line of a sale."""
    shop.put("sales_items", sale_id=sale_id, line_n=line_n, product_id=product_id, **fields)


def compute(run_script, **changed):
    """One run, which must succeed."""
    done = run_script(SCRIPT, "--once", **({"BUSINESS_TIMEZONE": MADRID} | changed))
    assert done.returncode == 0, done.stderr
    return done


def by_id(database, collection):
    """The documents of a collection as a page reads them."""
    return {document["_id"]: document for document in read(database, collection)}
