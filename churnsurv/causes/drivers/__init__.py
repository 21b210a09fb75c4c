"""What moves one customer's risk away from the average: exact for linear fits, Shapley values for trees."""
