"""The files that the producer's tests send, and what arrived."""

import json

MANY = 300_000
SCRIPT = "erp_simulator_producer.py"
TABLES = {
    "products": [
        "product_id,name,category,unit_price,stock,active",
        '007,"Queso, curado",Lácteos,10.50,3,true',
        "8,Pan,,0.9,,",
    ],
    "customers": [
        "customer_id,first_name,age,registration_date",
        "1,Ana,41,2020-05-01",
    ],
    "sales": [
        "sale_id,sale_datetime,customer_id,store_id,items_count,total_amount",
        "b,2024-03-02T10:00:00,1,012,1,0.9",
        "a,2024-03-01T10:00:00,,012,2,22.4",
        "c,2024-03-03T10:00:00+01:00,1,012,1,-0.9",
    ],
    "sales_items": [
        "sale_id,line_n,product_id,quantity,net_amount",
        "c,1,8,-1,-0.9",
        "a,2,8,1.5,1.4",
        "b,1,8,1,0.9",
        "a,1,007,2,21",
    ],
}


def write(folder, name, lines):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows(messages):
    return [json.loads(message.value()) for message in messages]


def by_time(messages):
    """Messages in the order in which the broker took them, as far as its clock tells."""
    return sorted(messages, key=lambda message: message.timestamp()[1])
