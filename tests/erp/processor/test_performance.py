"""recommendation_performance on a shop whose answer is known, in a real MongoDB."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from erp import contract
from erp.processor import performance
from erp.processor.catch_up import catch_up, recompute
from erp.processor.performance import Acceptance, read_performance
from tests.processor_shop import Shop
from tests.recommendation_samples import document, recommendation, recommended

NOON = datetime(2025, 3, 1, 12, tzinfo=UTC)
DAYS = 10
MADRID = "Europe/Madrid"


class Watched:
    """A shop, its answers and its processor."""

    def __init__(self, database):
        self.database, self.shop = database, Shop(database)
        self.acceptance = Acceptance(database, DAYS, MADRID)
        self.memory = None

    def sale(self, sale_id, days, customer, *products, quantity=1.0):
        """A sale so many days after NOON."""
        moment = NOON + timedelta(days=days)
        self.shop.put("sales", sale_id=sale_id, sale_datetime=moment, customer_id=customer)
        for line, product in enumerate(products, 1):
            self.shop.put(
                "sales_items",
                sale_id=sale_id,
                line_n=line,
                product_id=product,
                quantity=quantity,
                net_amount=quantity,
            )

    def answer(self, sale_id, days, customer, *products, control=False, **fields):
        """The answer to a sale so many days after NOON, at 20 % confidence each."""
        made = document(
            recommendation(
                0,
                sale_id=sale_id,
                customer_id=customer,
                timestamp=NOON + timedelta(days=days),
                **{"created_at": performance.now(), "model_version": "v1"} | fields,
                recommendations=[
                    recommended(
                        product,
                        ranking,
                        source="popular" if control else "model",
                        confidence_percentage=20.0,
                    )
                    for ranking, product in enumerate(products, 1)
                ],
            )
        )
        made["control"] = control
        self.database.recommendations.replace_one({"_id": sale_id}, made, upsert=True)

    def round(self):
        """A round of the processor; how many days were followed up."""
        if self.memory is None:
            result = recompute(self.database, MADRID)
        else:
            result = catch_up(self.database, MADRID, self.memory)
        self.memory = result.memory
        return self.acceptance.update(result.visits)

    def days(self):
        """The documents of days."""
        found = self.database[contract.RECOMMENDATION_PERFORMANCE].find({"_id": {"$ne": "all"}})
        return {day.pop("_id"): day for day in found}

    def counts(self, by):
        """(answers, hits, products, accepted, returned, next) by key."""
        return {
            group.key: (
                group.answers, group.hits, group.products,
                group.accepted, group.returned, group.next,
            )
            for group in read_performance(self.database).of(by)
        }  # fmt: skip

    def anew(self):
        """What a processor that begins anew counts, time apart."""
        Acceptance(self.database, DAYS, MADRID).update()
        found = self.database[contract.RECOMMENDATION_PERFORMANCE].find()
        return {each.pop("_id"): {**each, "computed_at": None} for each in found}


@pytest.fixture
def watched(database):
    """Four answers of the 1st of March, one of the 2nd, and the data end so that both may count.

    ana's were right with the next sale and with a later one, eva's (control) came back for
    something else, bob never came back, and nobody knows the fourth customer.
    """
    watched = Watched(database)
    for number, customer in enumerate(["ana", "eva", "bob", None]):
        watched.sale(f"s{number}", 0, customer, "x")
    watched.answer("s0", 0, "ana", "a", "b")
    watched.answer("s1", 0, "eva", "a", "b", control=True)
    watched.answer("s2", 0, "bob", "a", "c")
    watched.answer("s3", 0, None, "a")
    watched.sale("s4", 1, "ana", "a")
    watched.answer("s4", 1, "ana", "b", model_version="v2")
    watched.sale("s5", 3, "eva", "z")
    watched.sale("s6", 4, "ana", "b")
    watched.sale("end", DAYS + 2, None, "x")
    return watched


def test_what_became_of_them_by_arm_rank_source_confidence_and_version(watched):
    """As counted by hand; the control counts apart, the unknown customer not at all."""
    assert 2 == watched.round()
    assert {"model": (3, 2, 5, 3, 3, 2), "control": (1, 0, 2, 0, 2, 0)} == watched.counts("arm")
    assert {"1": (3, 2, 3, 2, 2, 2), "2": (2, 1, 2, 1, 1, 0)} == watched.counts("rank")
    assert {"model": (3, 2, 5, 3, 3, 2)} == watched.counts("source")
    assert {"20-30": (3, 2, 5, 3, 3, 2)} == watched.counts("confidence")
    assert {"v2": (1, 1, 1, 1, 1, 1), "v1": (2, 1, 4, 2, 2, 1)} == watched.counts("version")
    together = read_performance(watched.database)
    assert (DAYS, "2025-03-01", "2025-03-02", 1) == (
        together.days, together.first_day, together.last_day, together.anonymous,
    )  # fmt: skip
    stored = watched.database[contract.RECOMMENDATION_PERFORMANCE].find_one({"_id": "all"})
    model = next(group for group in stored["groups"] if group["key"] == "model")
    assert 0.6 == model["acceptance"]["value"]
    assert model["acceptance"]["low"] < 0.6 < model["acceptance"]["high"]
    assert 2 / 3 == pytest.approx(stored["lift"]["value"])
    assert 0.2 == pytest.approx(model["stated"])


def test_a_day_counts_once_its_days_have_passed(watched):
    """The 3rd of March waits until the data reach the 14th."""
    watched.answer("s7", 2, "ana", "b")
    assert 2 == watched.round()
    assert {"2025-03-01", "2025-03-02"} == watched.days().keys()
    watched.sale("later", DAYS + 3, None, "x")
    assert 1 == watched.round()
    assert {"2025-03-01", "2025-03-02", "2025-03-03"} == watched.days().keys()
    assert (4, 3, 6, 4, 4, 3) == watched.counts("arm")["model"]
    watched.shop.delete("sales", "later")
    watched.round()
    assert {"2025-03-01", "2025-03-02"} == watched.days().keys()


def test_a_day_is_the_one_of_the_business(watched):
    """23:30 of the 1st in London is the 2nd in Madrid."""
    watched.answer("s8", 11.5 / 24, "ana", "b")
    watched.round()
    assert {"2025-03-01": 4, "2025-03-02": 2} == {
        day: found["answers"] for day, found in watched.days().items()
    }


def test_a_late_purchase_and_a_return_are_noticed(watched):
    """bob's came a month late, ana's was none: the days they touch are counted again, no more."""
    watched.round()
    assert 0 == watched.round()
    watched.sale("late", 5, "bob", "c")
    assert 1 == watched.round()
    assert (3, 3, 5, 4, 5, 3) == watched.counts("arm")["model"]
    watched.sale("s6", 4, "ana", "b", quantity=-1.0)
    assert 2 == watched.round()
    assert (3, 2, 5, 2, 4, 2) == watched.counts("arm")["model"]
    watched.sale("nothing to do with it", 5, "new", "a")
    assert 0 == watched.round()


def test_a_purchase_after_the_days_changes_nothing(watched):
    """Nor does one before."""
    watched.round()
    before = watched.counts("arm")
    watched.sale("too late", DAYS + 0.5, "bob", "c")
    watched.sale("before", -1, "bob", "c")
    watched.round()
    assert before == watched.counts("arm")


def test_a_corrected_answer_takes_the_place_of_the_old_one(watched):
    """An answer that was made anew counts once, as it is now."""
    watched.round()
    watched.answer("s0", 0, "ana", "q", model_version="v3")
    assert 1 == watched.round()
    assert 0 == watched.round()
    assert {"v1": (1, 0, 2, 0, 0, 0), "v2": (1, 1, 1, 1, 1, 1), "v3": (1, 0, 1, 0, 1, 0)} == (
        watched.counts("version")
    )
    assert ["v3", "v2", "v1"] == list(watched.counts("version"))


def test_answers_that_were_not_noticed_are_missed(watched):
    """One that was stored an hour after it was made, to a sale of a day that is counted."""
    watched.round()
    assert not watched.acceptance.is_off()
    made_at = performance.now() - timedelta(hours=1)
    watched.answer("s5", 0, "eva", "z", created_at=made_at)
    assert 0 == watched.round()
    assert watched.acceptance.is_off()
    assert 2 == watched.acceptance.update(anew=True)
    assert not watched.acceptance.is_off()
    assert (4, 3, 6, 4, 4, 3) == watched.counts("arm")["model"]


def test_an_answer_that_moves_to_another_day_leaves_the_old_one(watched):
    """Its sale was corrected: the new day is counted at once, the old one when it is quiet."""
    watched.round()
    watched.answer("s0", 1, "ana", "a", "b")
    assert 1 == watched.round()
    assert watched.acceptance.is_off()
    assert 2 == watched.acceptance.update(anew=True)
    assert not watched.acceptance.is_off()
    assert {"2025-03-01": 3, "2025-03-02": 2} == {
        day: found["answers"] for day, found in watched.days().items()
    }


def test_a_round_that_was_not_followed_up_makes_everything_anew(watched):
    """Killed between a round and this: nothing is missed."""
    watched.round()
    watched.sale("late", 5, "bob", "c")
    watched.memory = catch_up(watched.database, MADRID, watched.memory).memory
    assert 2 == Acceptance(watched.database, DAYS, MADRID).update()
    assert (3, 3, 5, 4, 5, 3) == watched.counts("arm")["model"]


def test_what_follows_the_changes_is_what_all_anew_gives(watched, monkeypatch):
    """Also where many customers changed at once."""
    monkeypatch.setattr(performance, "FEW_CUSTOMERS", 1)
    watched.round()
    for number, customer in enumerate(["bob", "eva", "ana"]):
        watched.sale(f"late{number}", 6, customer, "a", "b")
    assert 2 == watched.round()
    collection = watched.database[contract.RECOMMENDATION_PERFORMANCE]
    followed = {each.pop("_id"): {**each, "computed_at": None} for each in collection.find()}
    collection.delete_many({})
    watched.database.processor_state.delete_one({"_id": "acceptance"})
    assert followed == watched.anew()


def test_more_new_answers_than_are_told_apart_count_everything_anew(watched, monkeypatch):
    """Also where none of them is new."""
    watched.round()
    monkeypatch.setattr(performance, "TOO_MANY", 1)
    before = watched.counts("arm")
    assert 2 == watched.round()
    assert before == watched.counts("arm")


def test_a_document_of_another_version_is_none(database):
    """A page that meets one says that nothing is known."""
    database[contract.RECOMMENDATION_PERFORMANCE].insert_one({"_id": "all", "groups": 3})
    assert read_performance(database) is None


def test_other_days_count_everything_anew(watched):
    """With three days ana's second purchase is too late for the first answer, not for the next."""
    watched.round()
    assert 2 == Acceptance(watched.database, 3, MADRID).update()
    assert 3 == read_performance(watched.database).days
    assert (3, 2, 5, 2, 3, 2) == watched.counts("arm")["model"]


def test_what_was_counted_outlives_the_answers(watched):
    """Where answers end by themselves, a late purchase takes no count away."""
    watched.acceptance = Acceptance(watched.database, DAYS, MADRID, expire=True)
    watched.round()
    before = watched.counts("arm")
    watched.database.recommendations.delete_one({"_id": "s1"})
    watched.sale("late", 5, "bob", "c")
    watched.round()
    watched.memory = None
    watched.round()
    assert before == watched.counts("arm")


def test_nothing_to_count_is_said(database):
    """A shop without sales, and one without answers."""
    watched = Watched(database)
    assert 0 == watched.acceptance.update()
    assert read_performance(database) is None
    assert 0 == watched.round()
    nothing = read_performance(database)
    assert ([], None, None, 0) == (
        nothing.groups, nothing.first_day, nothing.last_day, nothing.anonymous,
    )  # fmt: skip
    watched.sale("s", 0, "ana", "a")
    assert 0 == watched.round()
    assert nothing.groups == read_performance(database).groups


def test_answers_without_sense_are_left_out(watched):
    """They break nothing: no list, no time, an offer without a product, a model without a name."""
    expected = (watched.round(), watched.counts("arm"))
    answers = watched.database.recommendations
    answers.insert_many(
        [
            {"_id": "no time", "customer_id": "ana", "created_at": performance.now()},
            {"_id": "no list", "customer_id": "ana", "timestamp": NOON, "recommendations": 3},
            {"_id": "no product", "customer_id": "ana", "timestamp": NOON,
             "created_at": performance.now(), "recommendations": [{"ranking": 1}, "what"]},
        ]
    )  # fmt: skip
    assert 1 == watched.round()
    assert expected == (2, watched.counts("arm"))
    assert msgspec.to_builtins(read_performance(watched.database).groups)
