"""The processor: from sales and lines to the aggregates that the history page reads."""
