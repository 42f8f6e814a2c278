"""What the recommendation service tells Prometheus."""

from prometheus_client import REGISTRY

from erp.service import service_metrics


def sample(name, **labels):
    """A metric as it is now; 0 where there is none."""
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_the_lag_of_a_partition_that_moved_away_is_told_by_its_new_reader_only():
    """The sum over the copies of the service is the lag."""
    service_metrics.show(0, 0, {0: 7, 1: 5})
    service_metrics.show(0, 0, {1: 4})
    (lag,) = [each for each in REGISTRY.collect() if each.name == "erp_reco_lag_messages"]
    assert [({"partition": "1"}, 4.0)] == [(each.labels, each.value) for each in lag.samples]


def test_an_improved_answer_is_no_late_one():
    """The latency is that of first answers: lines that come in an hour improve one until then."""
    answers = [{"complete": True, "latency_ms": 3_600_000.0, "recommendations": []}]
    before = sample("erp_reco_latency_seconds_count")
    improved = sample("erp_reco_answers_total", kind="improved")
    service_metrics.count_answers(answers, "improved")
    assert before == sample("erp_reco_latency_seconds_count")
    assert improved + 1 == sample("erp_reco_answers_total", kind="improved")
    service_metrics.count_answers(answers, "first")
    assert before + 1 == sample("erp_reco_latency_seconds_count")
