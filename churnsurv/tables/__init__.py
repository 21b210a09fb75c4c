"""The way of the data: events, spells, periods, cells."""
