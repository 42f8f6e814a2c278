"""What the recommendation service follows while it runs: catalogue, model, what customers buy."""

from datetime import UTC, datetime, timedelta

import pytest

from erp.contract import PRODUCTS
from tests.service_shop import SCRIPT, Shop, recommended, trained


@pytest.fixture
def shop(settings, database, run_script):
    """A shop whose topics, collections and groups no other test has."""
    return Shop(settings, database, run_script)


def test_catalogue_change_is_followed(shop, run_script):
    """A new name is shown, and a product that is no longer sold is no longer recommended."""
    service = run_script.start(SCRIPT, CATALOGUE_POLL_SECONDS=0.1)
    shop.store("first", ["p1"])
    shop.sell("first", 1)
    assert "p5" in recommended(shop.wait_for_sales("first")["first"])
    changed = {"active": False, "stored_at": datetime.now(UTC) + timedelta(hours=1)}
    shop.database[PRODUCTS.name].update_one({"_id": "p5"}, {"$set": changed})
    changed = {"name": "Renamed", "stored_at": datetime.now(UTC) + timedelta(hours=1)}
    shop.database[PRODUCTS.name].update_one({"_id": "p1"}, {"$set": changed})

    def followed(answers):
        sale_id = f"s{len(answers)}"
        shop.store(sale_id, ["p1"])
        shop.sell(sale_id, 1)
        newest = shop.wait_for_sales(sale_id)[sale_id]
        return newest["basket_products"][0][
            "product_name"
        ] == "Renamed" and "p5" not in recommended(newest)

    shop.wait_for(followed)
    assert 0 == service.stop()


def test_model_is_followed_while_running(shop, run_script):
    """Without a model what sells is offered; a new model serves in seconds; a broken one never."""
    service = run_script.start(SCRIPT, MODEL_POLL_SECONDS=0.1)
    path = shop.settings.model_path

    def next_answer():
        sale_id = f"s{len(shop.answers())}"
        shop.store(sale_id, ["p1"])
        shop.sell(sale_id, 1)
        return shop.wait_for_sales(sale_id)[sale_id]

    def wait_for_version(version):
        shop.wait_for(lambda _: f"model {version} (item-cooccurrence" in service.stderr)
        answer = next_answer()
        assert version == answer["model_version"]
        return recommended(answer)[0]

    assert "popularity" == next_answer()["algo"]
    first, second = trained(("p1", "p28")), trained(("p1", "p29"))
    first.save(path)
    assert "p28" == wait_for_version(first.version)
    second.save(path)
    assert "p29" == wait_for_version(second.version)
    path.write_bytes(b"not a model")
    shop.wait_for(lambda _: "cannot be used" in service.stderr)
    assert second.version == next_answer()["model_version"]
    assert 0 == service.stop()


def test_customers_purchases_are_known_after_a_restart(shop, run_script):
    """What a customer bought since the model was trained is offered to her again."""
    trained(("p1", "p28")).save(shop.settings.model_path)
    for n in range(3):
        shop.store(f"old{n}", ["p21"])
        shop.sell(f"old{n}", 1, customer_id="regular")
    done = run_script(SCRIPT, "--max-messages", 3)
    assert 0 == done.returncode, done.stderr
    service = run_script.start(SCRIPT)
    shop.wait_for(lambda _: "3 sales since the model was trained" in service.stderr)
    shop.store("new", ["p1"])
    shop.sell("new", 1, customer_id="regular")
    assert {"p28", "p21"} == set(recommended(shop.wait_for_sales("new")["new"])[:2])
    assert 0 == service.stop()
