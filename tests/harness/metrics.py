"""Read metrics in Prometheus' text format with its own parser."""

from prometheus_client.parser import text_string_to_metric_families

# The value by the name of a sample and its labels.
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(text: str) -> Samples:
    """Return the samples of *text*; fail if two have the same name and labels."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in found, key
            found[key] = sample.value
    return found


def value(text: str, metric: str, **labels: str) -> float:
    """Return the value of the one sample with these labels."""
    return samples(text)[metric, frozenset(labels.items())]


def names(text: str) -> set[str]:
    """Return the names of all samples."""
    return {name for name, _ in samples(text)}
